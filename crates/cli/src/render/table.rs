//! Aligned columns.

/// How a column is aligned.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a head, in columns that fit their widest cells.
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines; without the head if `head` says so.
    pub(super) fn render(&self, head: bool, colour: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at, head)).collect();
        let mut out = String::new();
        if head {
            let names: Vec<String> =
                self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
            let line = self.line(&names, &widths);
            if colour {
                out.push_str(&format!("\x1b[1m{line}\x1b[0m\n"));
            } else {
                out.push_str(&format!("{line}\n"));
            }
        }
        for row in &self.rows {
            out.push_str(&self.line(row, &widths));
            out.push('\n');
        }
        out
    }

    fn width(&self, at: usize, head: bool) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        let name = if head { self.columns[at].0.chars().count() } else { 0 };
        cells.max().unwrap_or(0).max(name)
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(widths).zip(&self.columns) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => line.push_str(&format!("{cell}{gap}  ")),
                Align::Right => line.push_str(&format!("{gap}{cell}  ")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table =
            Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("", Align::Left)]);
        table.row(["ä".into(), "1 kB".into(), "x".into()]);
        table.row(["longer".into(), "10 MB".into(), String::new()]);
        assert_eq!(table.render(true, false), "NAME     SIZE\nä        1 kB  x\nlonger  10 MB\n");
        assert_eq!(table.render(false, false), "ä        1 kB  x\nlonger  10 MB\n");
    }
}
