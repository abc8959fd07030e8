//! The long run as a picture: latency, memory, and what lies on disk, over time.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::series::Series;

const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 220;
const FONT: &str = "sans-serif";

/// One panel: its title and its lines, each of points in minutes.
struct Panel<'a> {
    title: &'a str,
    lines: Vec<(&'a str, RGBColor, Vec<(f64, f64)>)>,
}

pub(super) fn draw(series: &Series, path: &Path) -> Result<()> {
    let slices = |value: fn(&super::Slice) -> f64| {
        series.slices.iter().map(|slice| (slice.second / 60.0, value(slice))).collect::<Vec<_>>()
    };
    let seconds = |value: fn(&super::Second) -> f64| {
        series.seconds.iter().map(|second| (second.second / 60.0, value(second))).collect::<Vec<_>>()
    };
    let [throughput, p50, p99, delivery, _] = super::Slice::QUANTITIES.map(|(.., value)| value);
    let [resident, _, disk] = super::Second::QUANTITIES.map(|(.., value)| value);
    let blue = RGBColor(31, 119, 180);
    let orange = RGBColor(214, 110, 20);
    let grey = RGBColor(110, 110, 110);
    let panels = [
        Panel { title: "throughput, records/s, each 10 s", lines: vec![("acknowledged", blue, slices(throughput))] },
        Panel {
            title: "latency, ms, each 10 s",
            lines: vec![
                ("acknowledgement p50", grey, thousandth(slices(p50))),
                ("acknowledgement p99", blue, thousandth(slices(p99))),
                ("delivery p99", orange, thousandth(slices(delivery))),
            ],
        },
        Panel { title: "resident memory, MiB, each second", lines: vec![("server", blue, seconds(resident))] },
        Panel { title: "on disk, MiB, each second", lines: vec![("data directory", blue, seconds(disk))] },
    ];
    let minutes = series.seconds.last().map_or(1.0, |second| second.second / 60.0);
    let root = SVGBackend::new(path, (WIDTH, PANEL_HEIGHT * panels.len() as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| anyhow!("{error}"))?;
    for (area, panel) in root.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        panel.draw(area, minutes).map_err(|error| anyhow!("{error}"))?;
    }
    root.present().map_err(|error| anyhow!("{error}"))
}

fn thousandth(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().map(|(minute, value)| (minute, value / 1e3)).collect()
}

impl Panel<'_> {
    fn draw<'a>(
        &self,
        area: &DrawingArea<SVGBackend<'a>, Shift>,
        minutes: f64,
    ) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
        let values = self.lines.iter().flat_map(|(.., points)| points).map(|(_, value)| *value);
        let top = values.fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, 16))
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..minutes, 0.0..top)?;
        chart.configure_mesh().disable_x_mesh().x_desc("minutes").y_labels(5).label_style((FONT, 12)).draw()?;
        for (name, colour, points) in &self.lines {
            let colour = *colour;
            let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(1)))?;
            line.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.8))
            .label_font((FONT, 12))
            .draw()
    }
}
