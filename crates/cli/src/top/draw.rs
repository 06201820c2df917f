//! The picture: a pure function of the view. What there is no room for is left out, the least
//! important first.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Gauge, Paragraph, Row, Sparkline, Table, TableState, Wrap};

use super::keys::KEYS;
use super::view::{DeviceLine, EventLine, View};
use crate::text;

/// The lines of the last minute, with their heading.
const MINUTE: u16 = 5;
/// How much is kept for devices before the last minute has any room.
const DEVICES: u16 = 4;
/// How much is kept for events.
const EVENTS: u16 = 3;
/// How wide the name and the number of a pulse are.
const PULSE_NAME: u16 = 10;
const PULSE_NOW: u16 = 12;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let area = frame.area();
    let verdict = verdict_height(view, area.width);
    let head = 1 + verdict;
    let progress = u16::from(view.progress.is_some());
    let left = area.height.saturating_sub(head + progress + 2);
    let wanted = u16::try_from(view.devices.len()).unwrap_or(u16::MAX).saturating_add(1);
    let minute = if left >= MINUTE + DEVICES.min(wanted) + EVENTS { MINUTE } else { 0 };
    let rest = left.saturating_sub(minute);
    let events = if rest >= wanted.min(DEVICES) + EVENTS { EVENTS } else { 0 };
    let devices = wanted.min(rest.saturating_sub(events)).max(rest.min(2));
    let events = rest.saturating_sub(devices);
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(verdict),
        Constraint::Length(progress),
        Constraint::Length(devices),
        Constraint::Length(minute),
        Constraint::Length(1),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .split(area);
    title(frame, rows[0], view);
    verdict_lines(frame, rows[1], view);
    gauge(frame, rows[2], view);
    device_table(frame, rows[3], view);
    last_minute(frame, rows[4], view);
    counts(frame, rows[5], view);
    event_lines(frame, rows[6], view);
    footer(frame, rows[7], view);
    if view.help {
        help(frame, area, view);
    }
}

/// A colour, where colours are wanted.
fn coloured(view: &View, colour: Color) -> Style {
    if view.colour { Style::new().fg(colour) } else { Style::new() }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn faint() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn title(frame: &mut Frame<'_>, area: Rect, view: &View) {
    frame.render_widget(Line::from(view.title.as_str()).style(bold()), area);
    let phase = if view.lost.is_some() { "no daemon" } else { &view.phase };
    let colour = if view.phase == "ready" { Color::Green } else { Color::Yellow };
    let phase = Paragraph::new(phase).alignment(Alignment::Right).style(coloured(view, colour));
    frame.render_widget(phase, area);
}

/// What is said first: how things stand, or that nobody knows.
fn verdict_text(view: &View) -> &str {
    view.lost.as_deref().unwrap_or(&view.verdict)
}

/// One line, or two where it does not fit.
fn verdict_height(view: &View, width: u16) -> u16 {
    let long = Line::from(verdict_text(view)).width() > usize::from(width);
    if long { 2 } else { 1 }
}

fn verdict_lines(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let style = if view.lost.is_some() { coloured(view, Color::Red) } else { Style::new() };
    let text = Paragraph::new(verdict_text(view)).wrap(Wrap { trim: true }).style(style);
    frame.render_widget(text, area);
}

fn gauge(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let Some((percent, words)) = &view.progress else { return };
    let gauge = Gauge::default()
        .percent(*percent)
        .label(words.as_str())
        .use_unicode(true)
        .gauge_style(coloured(view, Color::Blue));
    frame.render_widget(gauge, area);
}

/// A column of the devices' table: its heading, how wide it is, and in how wide a window it is shown.
struct Column {
    heading: &'static str,
    width: Constraint,
    from: u16,
    cell: fn(&DeviceLine) -> String,
    right: bool,
}

const COLUMNS: [Column; 8] = [
    Column {
        heading: "DEVICE",
        width: Constraint::Fill(2),
        from: 0,
        cell: |it| it.name.clone(),
        right: false,
    },
    Column {
        heading: "LINK",
        width: Constraint::Length(9),
        from: 0,
        cell: |it| it.link.clone(),
        right: false,
    },
    Column {
        heading: "ROUTE",
        width: Constraint::Fill(3),
        from: 60,
        cell: |it| it.route.clone(),
        right: false,
    },
    Column {
        heading: "RTT",
        width: Constraint::Length(8),
        from: 72,
        cell: |it| it.rtt.clone(),
        right: true,
    },
    Column {
        heading: "BEHIND",
        width: Constraint::Length(7),
        from: 0,
        cell: |it| text::count(it.behind),
        right: true,
    },
    Column {
        heading: "AHEAD",
        width: Constraint::Length(6),
        from: 50,
        cell: |it| text::count(it.ahead),
        right: true,
    },
    Column {
        heading: "LAG",
        width: Constraint::Length(7),
        from: 38,
        cell: |it| it.lag.clone(),
        right: true,
    },
    Column {
        heading: "ACKED",
        width: Constraint::Length(10),
        from: 72,
        cell: |it| it.acked.clone(),
        right: true,
    },
];

fn device_table(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let shown: Vec<&Column> = COLUMNS.iter().filter(|column| area.width >= column.from).collect();
    let cell = |column: &Column, text: String| {
        let alignment = if column.right { Alignment::Right } else { Alignment::Left };
        Line::from(text).alignment(alignment)
    };
    let heading = shown.iter().map(|column| cell(column, column.heading.to_owned()));
    let rows = view.devices.iter().map(|device| {
        let cells = shown.iter().map(|column| cell(column, (column.cell)(device)));
        Row::new(cells).style(device_style(view, device))
    });
    let table = Table::new(rows, shown.iter().map(|column| column.width))
        .header(Row::new(heading).style(faint()))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("▸");
    let mut state = TableState::new();
    if !view.devices.is_empty() {
        state.select(Some(view.selected));
    }
    frame.render_stateful_widget(table, area, &mut state);
}

fn device_style(view: &View, device: &DeviceLine) -> Style {
    match device {
        DeviceLine { paused: true, .. } => coloured(view, Color::Yellow),
        DeviceLine { online: false, .. } => faint(),
        _ => Style::new(),
    }
}

fn last_minute(frame: &mut Frame<'_>, area: Rect, view: &View) {
    if area.height < MINUTE {
        return;
    }
    let rows = Layout::vertical([Constraint::Length(1); MINUTE as usize]).split(area);
    frame.render_widget(Line::from("LAST MINUTE").style(faint()), rows[0]);
    for (pulse, row) in view.minute.iter().zip(&rows[1..]) {
        let cells = Layout::horizontal([
            Constraint::Length(PULSE_NAME),
            Constraint::Length(PULSE_NOW),
            Constraint::Length(1),
            Constraint::Fill(1),
        ])
        .split(*row);
        frame.render_widget(Line::from(pulse.name), cells[0]);
        frame.render_widget(Line::from(pulse.now.as_str()).alignment(Alignment::Right), cells[1]);
        let room = usize::from(cells[3].width).min(pulse.seconds.len());
        // The latest second is at the right, whatever there is room for.
        let data = pulse.seconds[pulse.seconds.len() - room..].iter().copied();
        let line = Sparkline::default()
            .data(data)
            .max(pulse.seconds.iter().copied().max().unwrap_or(0).max(1))
            .style(coloured(view, Color::Cyan));
        frame.render_widget(line, cells[3]);
    }
}

fn counts(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let count = |name: &'static str, number: u64| {
        let style = if number > 0 { coloured(view, Color::Yellow) } else { faint() };
        Span::styled(format!("{name} {}", text::count(number)), style)
    };
    let mut spans = vec![
        count("conflicts", view.conflicts),
        Span::raw("  "),
        count("quarantine", view.quarantined),
    ];
    for (model, rows) in &view.records {
        spans.push(Span::raw(format!("  {model} {}", text::count(*rows))));
    }
    frame.render_widget(Line::from(spans), area);
}

fn event_lines(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let lines = view.events.iter().take(usize::from(area.height)).map(|event| {
        let EventLine { time, severity, words } = event;
        let style = match severity.as_str() {
            "error" => coloured(view, Color::Red),
            "warning" => coloured(view, Color::Yellow),
            _ => Style::new(),
        };
        let mark = match severity.as_str() {
            "error" => "!!",
            "warning" => "! ",
            _ => "  ",
        };
        Line::from_iter([
            Span::styled(format!("{time} "), faint()),
            Span::styled(format!("{mark}{words}"), style),
        ])
    });
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), area);
}

fn footer(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let keys = "q quit  ↑↓ select  p pause/resume  s sync  ? help";
    let few = "q quit  p pause  s sync  ? help";
    let keys = if Line::from(keys).width() > usize::from(area.width) { few } else { keys };
    let text = view.note.as_deref().unwrap_or(keys);
    frame.render_widget(Line::from(text).style(faint()), area);
}

fn help(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let key = |(keys, does): &(&str, &str)| format!("{keys:<9} {does}");
    let mut lines: Vec<Line<'_>> = KEYS.iter().map(|pair| Line::from(key(pair))).collect();
    lines.push(Line::from(""));
    lines.push(Line::from("behind: changes that are here and not there, for as long as lag says"));
    lines.push(Line::from("ahead: changes that are there and not here"));
    lines.push(Line::from("acked: when it said last that it has something new"));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let area = area.centered(Constraint::Max(74), Constraint::Max(height));
    let block = Block::bordered().title(" Keys ").border_style(coloured(view, Color::Cyan));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::top::view::tests::view;

    fn picture(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
        (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn everything_is_seen_at_80_by_24() {
        let told = picture(&view(), 80, 24);
        assert_eq!(told, include_str!("draw/80x24.txt"), "\n{told}");
    }

    #[test]
    fn what_matters_most_is_seen_at_40_by_12() {
        let told = picture(&view(), 40, 12);
        assert_eq!(told, include_str!("draw/40x12.txt"), "\n{told}");
    }

    #[test]
    fn the_keys_are_told_and_so_is_a_daemon_that_is_gone() {
        let mut gone = view();
        gone.help = true;
        gone.lost = Some("the daemon has ended; `driftless up` starts it".into());
        let told = picture(&gone, 80, 24);
        assert_eq!(told, include_str!("draw/help.txt"), "\n{told}");
    }

    #[test]
    fn no_window_is_too_small() {
        let mut view = view();
        for help in [false, true] {
            view.help = help;
            for (width, height) in [(1, 1), (3, 2), (10, 3), (20, 5), (200, 4), (7, 60)] {
                assert_eq!(picture(&view, width, height).lines().count(), usize::from(height));
            }
        }
        let first = picture(&view, 20, 5);
        assert!(!first.is_empty());
    }

    #[test]
    fn without_colours_nothing_is_coloured() {
        let colours = |colour: bool| {
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            let view = View { colour, ..view() };
            terminal.draw(|frame| draw(frame, &view)).unwrap();
            let cells = terminal.backend().buffer().content.clone();
            cells.iter().filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset).count()
        };
        assert_eq!(colours(false), 0);
        assert!(colours(true) > 0);
    }
}
