//! A figure on the terminal.

use crate::figure::{Better, Outcome};
use crate::sample::Middle;

pub(crate) fn print(outcome: &Outcome) {
    for row in &outcome.rows {
        println!("  {} [{}]", row.what, row.unit);
        for column in &row.columns {
            let middle = column.samples.middle();
            println!("    {:<26} {}", column.system, spread(&middle));
        }
    }
    for claim in &outcome.claims {
        let sign = if claim.better == Better::Less { "≤" } else { "≥" };
        println!(
            "  {}: {} {} (must {sign} {}, aim {sign} {}): {}",
            claim.what,
            spread(&claim.middle()),
            claim.unit,
            claim.must,
            claim.aim,
            claim.verdict().word()
        );
    }
    for remark in &outcome.remarks {
        println!("  {remark}");
    }
}

/// A median with its interval, in three digits.
pub(crate) fn spread(middle: &Middle) -> String {
    format!("{} ({} – {})", number(middle.median), number(middle.low), number(middle.high))
}

/// A number in three digits that mean something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn three_digits() {
        assert_eq!([1234.5, 99.96, 9.994, 0.1234].map(number), ["1234", "100.0", "9.99", "0.123"]);
    }
}
