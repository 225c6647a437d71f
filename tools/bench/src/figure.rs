//! Figures, and the table of them.

use std::fmt::Write as _;

use serde::Serialize;

/// One measured number, with what it is to be compared with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    measure: String,
    value: f64,
    unit: &'static str,
    /// CPU time beside wall time, in the unit that fits.
    cpu: Option<Cpu>,
    /// The peer, or the limit, of the same run.
    against: Option<Against>,
    bar: Option<Bar>,
    /// Whether the bar holds; nothing for figures without a bar.
    holds: Option<bool>,
    /// What the number alone does not say.
    note: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
struct Cpu {
    value: f64,
    unit: &'static str,
}

#[derive(Clone, Debug, Serialize)]
struct Against {
    what: String,
    value: f64,
    /// The figure divided by its peer.
    ratio: f64,
}

/// What a release promises.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// The value is at most this.
    AtMost(f64),
    /// The value is at least this.
    AtLeast(f64),
    /// The ratio to the peer is at least this.
    RatioAtLeast(f64),
    /// The ratio to the peer is at most this.
    RatioAtMost(f64),
}

impl Figure {
    /// A bare number.
    pub(crate) fn new(measure: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let measure = measure.into();
        Self { measure, value, unit, cpu: None, against: None, bar: None, holds: None, note: None }
    }

    /// With the CPU time that it took.
    pub(crate) fn cpu(mut self, value: f64, unit: &'static str) -> Self {
        self.cpu = Some(Cpu { value, unit });
        self
    }

    /// Compared with a peer, in the same unit.
    pub(crate) fn against(mut self, what: impl Into<String>, value: f64) -> Self {
        self.against = Some(Against { what: what.into(), value, ratio: self.value / value });
        self
    }

    /// Held to a bar.
    pub(crate) fn bar(mut self, bar: Bar) -> Self {
        let ratio = self.against.as_ref().map(|against| against.ratio);
        self.holds = Some(match bar {
            Bar::AtMost(most) => self.value <= most,
            Bar::AtLeast(least) => self.value >= least,
            Bar::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio >= least),
            Bar::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio <= most),
        });
        self.bar = Some(bar);
        self
    }

    /// With a remark.
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The number itself.
    pub(crate) const fn value(&self) -> f64 {
        self.value
    }

    /// False if there is a bar and it does not hold.
    pub(crate) fn holds(&self) -> bool {
        self.holds != Some(false)
    }

    fn cells(&self) -> [String; 5] {
        let cpu = self.cpu.as_ref();
        let cpu = cpu.map_or_else(String::new, |cpu| format!("{} {}", number(cpu.value), cpu.unit));
        let against = self.against.as_ref().map_or_else(String::new, |against| {
            let ratio = number(100.0 * against.ratio);
            format!("{ratio} % of {} {}: {}", number(against.value), self.unit, against.what)
        });
        let bar = match self.bar {
            None => String::new(),
            Some(Bar::AtMost(most)) => format!("≤ {} {}", number(most), self.unit),
            Some(Bar::AtLeast(least)) => format!("≥ {} {}", number(least), self.unit),
            Some(Bar::RatioAtLeast(least)) => format!("≥ {} %", number(100.0 * least)),
            Some(Bar::RatioAtMost(most)) => format!("≤ {} %", number(100.0 * most)),
        };
        let holds = match self.holds {
            None => "",
            Some(true) => " holds",
            Some(false) => " MISSED",
        };
        let value = format!("{} {}", number(self.value), self.unit);
        [self.measure.clone(), value, cpu, against, bar + holds]
    }
}

/// Three significant digits, and thousands set apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if place > 0 && left.is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// The figures of one benchmark, as a table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let header = ["Measure", "Result", "CPU", "Compared with", "Bar"].map(str::to_owned);
    let mut rows = vec![header];
    rows.extend(figures.iter().map(Figure::cells));
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(widths) {
            write!(text, "| {cell:<width$} ").expect("writing to a string");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in widths {
                write!(text, "|{}", "-".repeat(width + 2)).expect("writing to a string");
            }
            text.push_str("|\n");
        }
    }
    for figure in figures {
        if let Some(note) = &figure.note {
            writeln!(text, "- {}: {note}", figure.measure).expect("writing to a string");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_thousands_set_apart() {
        let texts = [0.0, 0.0314, 1.234, 12.34, 99.97, 1_234.5, 1_234_567.0, -1_234.0].map(number);
        assert_eq!(
            texts,
            ["0", "0.031", "1.23", "12.3", "100", "1,234", "1,234,567", "-1,234"]
                .map(str::to_owned)
        );
    }

    #[test]
    fn a_bar_is_held_by_the_value_or_by_the_ratio() {
        let figure = || Figure::new("x", 50.0, "ms").against("a peer", 100.0);
        assert!(figure().bar(Bar::AtMost(50.0)).holds());
        assert!(!figure().bar(Bar::AtMost(49.0)).holds());
        assert!(figure().bar(Bar::RatioAtLeast(0.5)).holds());
        assert!(!figure().bar(Bar::RatioAtLeast(0.6)).holds());
        assert!(figure().bar(Bar::AtLeast(50.0)).holds());
        assert!(!figure().bar(Bar::AtLeast(51.0)).holds());
        assert!(figure().bar(Bar::RatioAtMost(0.5)).holds());
        assert!(!figure().bar(Bar::RatioAtMost(0.4)).holds());
        assert!(figure().holds());
    }
}
