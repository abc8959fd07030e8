//! Charts of what was measured, as SVG: one line for each system, its median as a bar (or, for latencies, its percentiles
//! as dots), the 95 % interval as a whisker.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::record::Record;
use super::text::number;
use crate::figure::Row;
use crate::sample::Middle;

/// A chart and where its lines come from.
pub(crate) struct Chart {
    /// Of the file, without its ending.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    scale: Scale,
    /// Figure, and how the names of its rows begin (`*` for everything up to the percentile). The heading of a group is the
    /// row's own name.
    rows: &'static [(&'static str, &'static str)],
    /// Whether rows that end in p50, p99, p99.9 are one group of dots.
    percentiles: bool,
    unit: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Logarithmic,
}

pub(crate) const ALL: &[Chart] = &[
    Chart {
        name: "cost",
        title: "Processor time of the broker, seconds per gigabyte (less is better)",
        scale: Scale::Linear,
        rows: &[
            ("produce-synced", "produce, 100 × 1 KiB batches: broker"),
            ("produce-unsynced", "produce, 100 × 1 KiB batches: broker"),
            ("fetch", "fetch from cache, pieces of 8 MiB: broker"),
            ("librdkafka", "produced by librdkafka: broker"),
        ],
        percentiles: false,
        unit: "CPU-s/GB",
    },
    Chart {
        name: "throughput",
        title: "Throughput of one connection, megabytes per second (more is better)",
        scale: Scale::Linear,
        rows: &[
            ("produce-synced", "throughput"),
            ("produce-unsynced", "throughput"),
            ("fetch", "throughput"),
            ("librdkafka", "produced by librdkafka"),
        ],
        percentiles: false,
        unit: "MB/s",
    },
    Chart {
        name: "one-record",
        title: "Producers that wait for each record: median wait, µs (less is better)",
        scale: Scale::Logarithmic,
        rows: &[("one-record", "one record at a time, p50"), ("many-producers", "64 producers on 64 partitions, p50")],
        percentiles: false,
        unit: "µs",
    },
    Chart {
        name: "latency",
        title: "Produce latency at fixed rates: p50, p99 and p99.9, µs (less is better)",
        scale: Scale::Logarithmic,
        rows: &[("latency", "produce at")],
        percentiles: true,
        unit: "µs",
    },
    Chart {
        name: "end-to-end",
        title: "From due to delivered, at fixed rates: p50, p99 and p99.9, µs (less is better)",
        scale: Scale::Logarithmic,
        rows: &[("end-to-end", "end to end at")],
        percentiles: true,
        unit: "µs",
    },
    Chart {
        name: "memory",
        title: "Resident memory, MiB (less is better)",
        scale: Scale::Logarithmic,
        rows: &[("idle", "idle: resident memory"), ("produce-synced", "resident memory at the end of the run")],
        percentiles: false,
        unit: "MiB",
    },
    Chart {
        name: "start",
        title: "From exec to the first acknowledged record, ms (less is better)",
        scale: Scale::Logarithmic,
        rows: &[("start", "exec to"), ("partitions", "exec to"), ("restart", "kill -9")],
        percentiles: false,
        unit: "ms",
    },
];

/// Lines that belong together.
struct Group {
    heading: String,
    lines: Vec<Line>,
}

struct Line {
    system: String,
    marks: Vec<Middle>,
}

/// Whether there is anything to draw.
pub(crate) fn has_lines(chart: &Chart, records: &[Record]) -> bool {
    !groups(chart, records).is_empty()
}

/// Draws every chart for which there is something.
pub(crate) fn draw(records: &[Record], directory: &Path) -> Result<()> {
    for chart in ALL {
        let groups = groups(chart, records);
        if groups.is_empty() {
            continue;
        }
        let path = directory.join(format!("{}.svg", chart.name));
        Canvas::new(chart, &groups).draw(&groups, &path).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn groups(chart: &Chart, records: &[Record]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (figure, begins) in chart.rows {
        let Some(record) = records.iter().find(|record| record.figure == *figure) else { continue };
        let rows = record.outcome.rows.iter().filter(|row| row.what.starts_with(begins) && row.unit == chart.unit);
        for row in rows {
            let heading = heading(chart, &record.figure, row);
            match groups.last_mut().filter(|group| group.heading == heading && chart.percentiles) {
                Some(group) => add_marks(group, row),
                None => groups.push(group(heading, row)),
            }
        }
    }
    groups
}

fn heading(chart: &Chart, figure: &str, row: &Row) -> String {
    if chart.percentiles {
        return row.what.rsplit_once(", p").map_or(row.what.as_str(), |(before, _)| before).to_owned();
    }
    match figure {
        "produce-synced" => "produce, synced before the acknowledgement (Kafka as it ships: not synced)".to_owned(),
        "produce-unsynced" => "produce, not synced before the acknowledgement".to_owned(),
        "fetch" => "fetch from cache".to_owned(),
        _ => row.what.clone(),
    }
}

fn group(heading: String, row: &Row) -> Group {
    let lines =
        row.columns.iter().map(|column| Line { system: column.system.clone(), marks: vec![column.samples.middle()] });
    Group { heading, lines: lines.collect() }
}

fn add_marks(group: &mut Group, row: &Row) {
    for column in &row.columns {
        if let Some(line) = group.lines.iter_mut().find(|line| line.system == column.system) {
            line.marks.push(column.samples.middle());
        }
    }
}

const WIDTH: i32 = 900;
const LEFT: i32 = 210;
const RIGHT: i32 = 90;
const TOP: i32 = 50;
const BOTTOM: i32 = 40;
const LINE: i32 = 22;
const HEADING: i32 = 30;
const INK: RGBColor = RGBColor(40, 44, 52);
const GRID: RGBColor = RGBColor(222, 226, 230);

/// From values to places.
struct Canvas {
    title: &'static str,
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
    height: i32,
}

impl Canvas {
    fn new(chart: &Chart, groups: &[Group]) -> Canvas {
        let marks = || groups.iter().flat_map(|group| &group.lines).flat_map(|line| &line.marks);
        let largest = marks().map(|mark| mark.high.max(mark.median)).fold(0.0, f64::max);
        let smallest = marks().map(|mark| mark.low).filter(|low| *low > 0.0).fold(largest, f64::min);
        let (low, high, ticks) = match chart.scale {
            Scale::Linear => linear(largest),
            Scale::Logarithmic => logarithmic(smallest, largest),
        };
        let lines: usize = groups.iter().map(|group| group.lines.len()).sum();
        let height = TOP + BOTTOM + HEADING * groups.len() as i32 + LINE * lines as i32;
        Canvas { title: chart.title, scale: chart.scale, low, high, ticks, height }
    }

    fn x(&self, value: f64) -> i32 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).ln() / (self.high / self.low).ln(),
        };
        LEFT + (share * f64::from(WIDTH - LEFT - RIGHT)).round() as i32
    }

    fn draw(&self, groups: &[Group], path: &Path) -> Result<()> {
        let area = SVGBackend::new(path, (WIDTH as u32, self.height as u32)).into_drawing_area();
        self.paint(groups, &area).map_err(|error| anyhow!("{error:?}"))
    }

    fn paint<DB: DrawingBackend>(
        &self,
        groups: &[Group],
        area: &DrawingArea<DB, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        area.fill(&WHITE)?;
        area.draw(&Text::new(self.title, (14, 16), text(17, FontStyle::Bold, HPos::Left)))?;
        for tick in &self.ticks {
            let x = self.x(*tick);
            area.draw(&PathElement::new([(x, TOP), (x, self.height - BOTTOM)], GRID))?;
            area.draw(&Text::new(
                label(*tick),
                (x, self.height - BOTTOM + 14),
                text(12, FontStyle::Normal, HPos::Center),
            ))?;
        }
        let mut y = TOP;
        for group in groups {
            y += HEADING;
            let style = text(14, FontStyle::Bold, HPos::Left);
            area.draw(&Text::new(group.heading.clone(), (14, y - HEADING / 2 + 2), style))?;
            for line in &group.lines {
                self.line(area, line, y + LINE / 2)?;
                y += LINE;
            }
        }
        area.present()
    }

    fn line<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, plotters::coord::Shift>,
        line: &Line,
        y: i32,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let colour = colour(&line.system);
        area.draw(&Text::new(line.system.clone(), (LEFT - 10, y), text(13, FontStyle::Normal, HPos::Right)))?;
        let (Some(first), Some(last)) = (line.marks.first(), line.marks.last()) else { return Ok(()) };
        if let [mark] = line.marks.as_slice() {
            let end = self.x(mark.median);
            // The length of a bar means something only when it begins at nothing.
            if self.scale == Scale::Linear {
                area.draw(&Rectangle::new([(LEFT, y - 7), (end, y + 7)], colour.filled()))?;
            } else {
                area.draw(&PathElement::new([(LEFT, y), (end, y)], GRID.stroke_width(2)))?;
                area.draw(&Circle::new((end, y), 6, colour.filled()))?;
            }
            let whisker = [(self.x(mark.low), y), (self.x(mark.high), y)];
            area.draw(&PathElement::new(whisker, INK.stroke_width(2)))?;
        } else {
            let reach = [(self.x(first.median), y), (self.x(last.median), y)];
            area.draw(&PathElement::new(reach, colour.stroke_width(3)))?;
            for (number, mark) in line.marks.iter().enumerate() {
                // Larger for the higher percentile.
                area.draw(&Circle::new((self.x(mark.median), y), 4 + number as i32, colour.filled()))?;
            }
        }
        let numbers: Vec<String> = line.marks.iter().map(|mark| number(mark.median)).collect();
        let end = self.x(line.marks.iter().map(|mark| mark.high.max(mark.median)).fold(0.0, f64::max));
        let (at, side) = if line.marks.len() > 1 && end > WIDTH - RIGHT - 60 {
            (self.x(first.median) - 10, HPos::Right)
        } else {
            (end + 10, HPos::Left)
        };
        area.draw(&Text::new(numbers.join(" · "), (at, y), text(13, FontStyle::Normal, side)))
    }
}

fn text(size: u32, weight: FontStyle, side: HPos) -> TextStyle<'static> {
    ("sans-serif", size, weight).into_font().color(&INK).pos(Pos::new(side, VPos::Center))
}

/// Ours stands out; Kafka's two classes are of one family; what is no broker is grey.
fn colour(system: &str) -> RGBColor {
    match system {
        "ours" => RGBColor(11, 110, 79),
        "ours, sync = interval" => RGBColor(110, 181, 141),
        "Kafka" => RGBColor(209, 73, 91),
        "Kafka, flush.messages=1" => RGBColor(237, 174, 73),
        "floor" | "floor, no sync" => RGBColor(92, 107, 130),
        _ => RGBColor(160, 168, 180),
    }
}

/// Bounds and ticks from zero: at most six steps of 1, 2 or 5 times a power of ten.
fn linear(largest: f64) -> (f64, f64, Vec<f64>) {
    let rough = largest / 6.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let count = (largest / step).ceil() as usize;
    (0.0, step * count as f64, (0..=count).map(|at| at as f64 * step).collect())
}

/// Bounds and ticks at powers of ten around the values.
fn logarithmic(smallest: f64, largest: f64) -> (f64, f64, Vec<f64>) {
    let first = smallest.log10().floor() as i32;
    let last = (largest.log10().ceil() as i32).max(first + 1);
    (10f64.powi(first), 10f64.powi(last), (first..=last).map(|power| 10f64.powi(power)).collect())
}

fn label(tick: f64) -> String {
    // Steps of a binary fraction would show their tail.
    let text = format!("{tick:.3}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_reach_over_the_largest_value() {
        assert_eq!(linear(23.0), (0.0, 25.0, vec![0.0, 5.0, 10.0, 15.0, 20.0, 25.0]));
        assert_eq!(logarithmic(75.0, 2_300.0), (10.0, 10_000.0, vec![10.0, 100.0, 1_000.0, 10_000.0]));
        assert_eq!([0.0, 0.1 + 0.2, 1_000.0].map(label), ["0", "0.3", "1000"]);
    }

    #[test]
    fn larger_values_lie_further_to_the_right() {
        let canvas =
            Canvas { title: "", scale: Scale::Logarithmic, low: 10.0, high: 1_000.0, ticks: vec![], height: 0 };
        let places = [10.0, 100.0, 1_000.0].map(|value| canvas.x(value));
        assert_eq!(places, [LEFT, LEFT + (WIDTH - LEFT - RIGHT) / 2, WIDTH - RIGHT]);
    }
}
