//! The live tree in a terminal.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::progress::{Event, Progress, printable};
use crate::plan::{Outcome, Plan, PlanNode};
use crate::text::duration_words;

/// How often the tree is drawn at most. More only flickers.
const FRAME: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Waiting,
    Running { since: Instant, doing: String },
    Ended { outcome: Outcome, reason: String, duration: Duration, rehearsed: bool },
}

#[derive(Debug)]
struct Row {
    id: String,
    title: String,
    indent: String,
    group: bool,
    state: State,
}

#[derive(Debug)]
struct View {
    rows: Vec<Row>,
    notes: Vec<String>,
    drawn: usize,
    last: Option<Instant>,
    started: Instant,
}

/// Draws the tree of a plan and keeps it up to date.
#[derive(Debug)]
pub struct TreeProgress {
    view: Mutex<View>,
}

impl TreeProgress {
    /// A tree of this plan on standard error, if that is a terminal.
    #[must_use]
    pub fn new(plan: &Plan) -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self::always(plan))
    }

    fn always(plan: &Plan) -> Self {
        let mut rows = Vec::new();
        let after = plan.post.lists().into_iter().flat_map(|(_, nodes)| nodes);
        let all: Vec<&PlanNode> = plan.stages.iter().chain(after).collect();
        add_rows(&all, "", &mut rows);
        let view = View { rows, notes: Vec::new(), drawn: 0, last: None, started: Instant::now() };
        Self { view: Mutex::new(view) }
    }

    fn draw(&self, now: bool) {
        let Ok(mut view) = self.view.lock() else { return };
        if !now && view.last.is_some_and(|last| last.elapsed() < FRAME) {
            return;
        }
        view.last = Some(Instant::now());
        let (width, height) = terminal_size();
        let text = frame(&view, width, height);
        let mut output = std::io::stderr().lock();
        let up = match view.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        let _ = write!(output, "{up}\r\x1b[J{text}");
        let _ = output.flush();
        view.drawn = text.matches('\n').count();
    }
}

fn add_rows(nodes: &[&PlanNode], indent: &str, rows: &mut Vec<Row>) {
    for (index, node) in nodes.iter().enumerate() {
        let last = index + 1 == nodes.len();
        rows.push(Row {
            id: node.id().to_owned(),
            title: node.title().to_owned(),
            indent: format!("{indent}{}", if last { "└─ " } else { "├─ " }),
            group: !matches!(node, PlanNode::Stage(_)),
            state: State::Waiting,
        });
        let inner = format!("{indent}{}", if last { "   " } else { "│  " });
        add_rows(&node.children().iter().collect::<Vec<_>>(), &inner, rows);
    }
}

fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => (80, 24),
    }
}

fn row_text(row: &Row) -> (String, &'static str, String) {
    const SPINNER: [&str; 4] = ["◐", "◓", "◑", "◒"];
    match &row.state {
        State::Waiting => ("·".into(), "\x1b[2m", String::new()),
        State::Running { since, doing } => {
            let elapsed = since.elapsed();
            let turn = usize::try_from(elapsed.as_millis() / 200).unwrap_or(0) % SPINNER.len();
            (SPINNER[turn].into(), "\x1b[36m", format!("{}  {doing}", duration_words(elapsed)))
        }
        State::Ended { outcome, reason, duration, rehearsed } => {
            let (mark, colour) = match outcome {
                Outcome::Success => ("✔", "\x1b[32m"),
                Outcome::Unstable => ("!", "\x1b[33m"),
                Outcome::Failure => ("✘", "\x1b[31m"),
                Outcome::Aborted => ("■", "\x1b[35m"),
                Outcome::Skipped | Outcome::Pending => ("○", "\x1b[2m"),
            };
            let time = match outcome {
                Outcome::Skipped => String::new(),
                _ => duration_words(*duration),
            };
            let rehearsed = if *rehearsed { "  rehearsed" } else { "" };
            let reason = match outcome {
                Outcome::Success => "",
                _ => reason.as_str(),
            };
            (mark.into(), colour, format!("{time}{rehearsed}  {reason}"))
        }
    }
}

fn frame(view: &View, width: usize, height: usize) -> String {
    let cut = |text: &str| -> String { printable(text).chars().take(width - 1).collect() };
    let mut lines: Vec<String> = Vec::new();
    for row in &view.rows {
        let (mark, colour, about) = row_text(row);
        let about = about.trim();
        let line = cut(&format!("{}{mark} {}  {about}", row.indent, row.title));
        // The tree's own lines stay dim, so that the state stands out.
        let at = row.indent.chars().count().min(line.chars().count());
        let (lead, rest): (String, String) =
            (line.chars().take(at).collect(), line.chars().skip(at).collect());
        lines.push(format!("\x1b[2m{lead}\x1b[0m{colour}{rest}\x1b[0m"));
    }
    for note in &view.notes {
        lines.push(format!("\x1b[2m{}\x1b[0m", cut(&format!("note: {note}"))));
    }
    lines.push(cut(&format!("{} so far", duration_words(view.started.elapsed()))));
    // A tree higher than the screen cannot be redrawn: its end is what changes.
    let most = height.saturating_sub(1).max(1);
    if lines.len() > most {
        lines.drain(..lines.len() - most);
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl Progress for TreeProgress {
    fn event(&self, event: &Event<'_>) {
        let mut at_once = false;
        if let Ok(mut view) = self.view.lock() {
            if let Event::Note(text) = event {
                view.notes.push((*text).to_owned());
            }
            let id = match event {
                Event::Started { id, .. }
                | Event::Again { id, .. }
                | Event::Step { id, .. }
                | Event::Output { id, .. }
                | Event::Said { id, .. }
                | Event::Ended { id, .. } => *id,
                Event::Note(_) => "",
            };
            if let Some(row) = view.rows.iter_mut().find(|row| row.id == id) {
                match event {
                    Event::Started { .. } => {
                        row.state = State::Running { since: Instant::now(), doing: String::new() };
                    }
                    Event::Ended { outcome, reason, duration, rehearsed, .. } => {
                        at_once = true;
                        row.state = State::Ended {
                            outcome: *outcome,
                            reason: (*reason).to_owned(),
                            duration: *duration,
                            rehearsed: *rehearsed,
                        };
                    }
                    Event::Step { name: text, .. }
                    | Event::Output { line: text, .. }
                    | Event::Again { reason: text, .. } => {
                        if let State::Running { doing, .. } = &mut row.state
                            && !row.group
                        {
                            // Only the beginning of a line is shown.
                            *doing = text.chars().take(200).collect();
                        }
                    }
                    Event::Said { .. } | Event::Note(_) => {}
                }
            }
        }
        self.draw(at_once);
    }

    fn finish(&self) {
        self.draw(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_show_state_and_steer_no_terminal() {
        let row = |title: &str, state: State| Row {
            id: title.into(),
            title: title.into(),
            indent: "├─ ".into(),
            group: false,
            state,
        };
        let ended = State::Ended {
            outcome: Outcome::Failure,
            reason: "exit code 1\x1b[2J".into(),
            duration: Duration::from_secs(61),
            rehearsed: false,
        };
        let view = View {
            rows: vec![row("a", State::Waiting), row("b", ended)],
            notes: vec!["n".into()],
            drawn: 0,
            last: None,
            started: Instant::now(),
        };
        let text = frame(&view, 80, 24);
        assert!(text.contains("✘ b  1 min 1 s  exit code 1[2J"), "{text:?}");
        assert!(!text.contains("\x1b[2J"));
        assert_eq!(frame(&view, 80, 3).lines().count(), 2, "never higher than the screen");
        assert!(frame(&view, 10, 24).lines().count() == 4);
    }
}
