//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::feed::Wish;
use super::view::View;

/// What follows from a key beyond the view.
#[derive(Debug, PartialEq)]
pub(super) enum Pressed {
    Nothing,
    Quit,
    Ask(Wish),
}

/// All keys, for the help.
pub(super) const KEYS: [(&str, &str); 6] = [
    ("↑ ↓ j k", "select a device"),
    ("p", "pause the selected device's link, or resume it"),
    ("s", "sync with every device that can be reached"),
    ("g G", "the first device, the last"),
    ("?", "this help"),
    ("q Esc", "quit"),
];

/// A key was pressed.
pub(super) fn pressed(key: KeyEvent, view: &mut View) -> Pressed {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Pressed::Quit;
    }
    if view.help {
        // Whatever it is, the help has been read.
        view.help = false;
        return if key.code == KeyCode::Char('q') { Pressed::Quit } else { Pressed::Nothing };
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Pressed::Quit,
        KeyCode::Char('?' | 'h') => view.help = true,
        KeyCode::Up | KeyCode::Char('k') => view.select(view.selected.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => view.select(view.selected.saturating_add(1)),
        KeyCode::Home | KeyCode::Char('g') => view.select(0),
        KeyCode::End | KeyCode::Char('G') => view.select(usize::MAX),
        KeyCode::Char('s') => return Pressed::Ask(Wish::Sync),
        KeyCode::Char('p') => {
            let Some(device) = view.devices.get(view.selected) else { return Pressed::Nothing };
            let id = device.id.clone();
            return Pressed::Ask(if device.paused { Wish::Resume(id) } else { Wish::Pause(id) });
        }
        _ => {}
    }
    Pressed::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::view::tests::view;

    fn press(view: &mut View, code: KeyCode) -> Pressed {
        pressed(KeyEvent::new(code, KeyModifiers::NONE), view)
    }

    #[test]
    fn keys_select_within_the_devices_and_ask_for_the_selected_one() {
        let mut view = view();
        assert_eq!(press(&mut view, KeyCode::Up), Pressed::Nothing);
        assert_eq!(view.selected, 0);
        press(&mut view, KeyCode::End);
        assert_eq!(view.selected, view.devices.len() - 1);
        press(&mut view, KeyCode::Down);
        assert_eq!(view.selected, view.devices.len() - 1);
        press(&mut view, KeyCode::Char('g'));
        let id = view.devices[0].id.clone();
        assert_eq!(press(&mut view, KeyCode::Char('p')), Pressed::Ask(Wish::Pause(id.clone())));
        view.devices[0].paused = true;
        assert_eq!(press(&mut view, KeyCode::Char('p')), Pressed::Ask(Wish::Resume(id)));
        assert_eq!(press(&mut view, KeyCode::Char('s')), Pressed::Ask(Wish::Sync));
        view.devices.clear();
        assert_eq!(press(&mut view, KeyCode::Char('p')), Pressed::Nothing);
    }

    #[test]
    fn help_goes_with_any_key_and_there_are_three_ways_out() {
        let mut view = view();
        press(&mut view, KeyCode::Char('?'));
        assert!(view.help);
        assert_eq!(press(&mut view, KeyCode::Esc), Pressed::Nothing);
        assert!(!view.help);
        assert_eq!(press(&mut view, KeyCode::Esc), Pressed::Quit);
        assert_eq!(press(&mut view, KeyCode::Char('q')), Pressed::Quit);
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(pressed(interrupt, &mut view), Pressed::Quit);
    }
}
