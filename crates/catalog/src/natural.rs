//! The order that people expect of names.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::Chars;

/// Compares two names as a person would sort them: whatever the case, and numbers by their value,
/// so that `img9` comes before `IMG10`. Names that differ in case or leading zeros alone are put
/// in the order of their bytes, so that equal means equal.
#[must_use]
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let order = match (left.peek().copied(), right.peek().copied()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                number(&mut left).cmp(&number(&mut right))
            }
            (Some(x), Some(y)) => {
                left.next();
                right.next();
                x.to_lowercase().cmp(y.to_lowercase())
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes a run of digits: how many they are without leading zeros, and which. Runs of any length
/// compare by value in this way.
fn number(chars: &mut Peekable<Chars<'_>>) -> (usize, String) {
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        if digit != '0' || !digits.is_empty() {
            digits.push(digit);
        }
    }
    (digits.len(), digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_sort() {
        let mut names = [
            "img10.jpg",
            "IMG9.jpg",
            "img9.jpg",
            "img010.jpg",
            "a",
            "B",
            "ä",
            "Z",
            "",
            "10",
            "9",
            "99999999999999999999999999",
            "1 b",
            "img",
            "Img1a",
            "img1",
        ];
        names.sort_by(|a, b| natural_order(a, b));
        let want = [
            "",
            "1 b",
            "9",
            "10",
            "99999999999999999999999999",
            "a",
            "B",
            "img",
            "img1",
            "Img1a",
            "IMG9.jpg",
            "img9.jpg",
            "img010.jpg",
            "img10.jpg",
            "Z",
            "ä",
        ];
        assert_eq!(names, want);
    }

    #[test]
    fn a_total_order() {
        let names = ["a1", "A01", "a01", "a1b", "a", "1", "01", "1a", "ä", "Ä", ""];
        for a in names {
            for b in names {
                assert_eq!(natural_order(a, b), natural_order(b, a).reverse());
                assert_eq!(natural_order(a, b) == Ordering::Equal, a == b);
                for c in names {
                    if natural_order(a, b).is_le() && natural_order(b, c).is_le() {
                        assert!(natural_order(a, c).is_le(), "{a} {b} {c}");
                    }
                }
            }
        }
    }
}
