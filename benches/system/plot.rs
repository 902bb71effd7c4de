//! The figures as a picture.

use std::{error::Error, path::Path};

use plotters::prelude::*;

use crate::{parts::STAGES, report::Results};

/// Draws what there is.
pub(crate) fn draw(results: &Results, file: &Path) {
    if let Err(error) = panels(results, file) {
        eprintln!("the plot could not be drawn: {error}");
    }
}

fn panels(results: &Results, file: &Path) -> Result<(), Box<dyn Error>> {
    let all: [(bool, Draw); 3] = [(true, rates), (!results.latency.is_empty(), latencies), (!results.growth.is_empty(), costs)];
    let wanted: Vec<Draw> = all.into_iter().filter(|(has_figures, _)| *has_figures).map(|(_, draw)| draw).collect();
    let root = SVGBackend::new(file, (400 * u32::try_from(wanted.len())?, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    for (draw, panel) in wanted.iter().zip(root.split_evenly((1, wanted.len()))) {
        draw(results, &panel)?;
    }
    root.present()?;
    Ok(())
}

type Draw = fn(&Results, &Panel) -> Result<(), Box<dyn Error>>;

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Applications a second, as bars.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn rates(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let mut bars: Vec<(String, f64)> = Vec::new();
    if let Some((count, spent)) = &results.parts {
        let parts = [("messages", spent.messages), ("rows", spent.rows), ("documents", spent.documents), ("mails", spent.mails)];
        bars.extend(parts.map(|(name, seconds)| (name.to_owned(), *count as f64 / seconds)));
    }
    bars.extend(
        results.pipeline.iter().map(|run| (format!("{} worker{}", run.workers, if run.workers == 1 { "" } else { "s" }), run.per_second)),
    );
    bars.extend(results.embedded.iter().map(|embedded| ("embedded".to_owned(), embedded.per_second)));
    let top = bars.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let names: Vec<String> = bars.iter().map(|(name, _)| name.clone()).collect();
    let mut chart = ChartBuilder::on(panel)
        .caption("applications a second", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((0..bars.len().max(1)).into_segmented(), 0.0..top * 1.1)?;
    let label = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => names.get(*at).cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let style = ("sans-serif", 9).into_font();
    chart.configure_mesh().disable_x_mesh().x_labels(bars.len().max(1)).x_label_formatter(&label).x_label_style(style).draw()?;
    chart.draw_series(bars.iter().enumerate().map(|(at, (_, rate))| {
        let corners = [(SegmentValue::Exact(at), 0.0), (SegmentValue::Exact(at + 1), *rate)];
        let mut bar = Rectangle::new(corners, RGBColor(52, 101, 164).filled());
        bar.set_margin(0, 0, 4, 4);
        bar
    }))?;
    Ok(())
}

/// p95 of each stage and of the whole way, by load.
fn latencies(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let top = results.latency.iter().map(|latency| latency.stages["whole"][1]).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption("p95 by load, ms", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..1.0, 0.0..top * 1.1)?;
    chart.configure_mesh().x_label_formatter(&|load| format!("{:.0} %", 100.0 * load)).draw()?;
    for (place, stage) in STAGES.iter().chain(&["whole"]).enumerate() {
        let colour = Palette99::pick(place).to_rgba();
        let points = results.latency.iter().map(|latency| (latency.load, latency.stages[stage][1]));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(*stage)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw()?;
    Ok(())
}

/// Processor time of an application, by the guarantees that were there before.
#[expect(clippy::cast_precision_loss, reason = "a picture")]
fn costs(results: &Results, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let points: Vec<(f64, f64)> = results.growth.iter().map(|run| (run.stored.max(1) as f64, run.cpu_ms.values().sum::<f64>())).collect();
    let top = points.iter().map(|(_, cost)| *cost).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(panel)
        .caption("processor ms an application, by guarantees stored", ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d((1_000.0..2_000_000.0).log_scale(), 0.0..top * 1.2)?;
    chart.configure_mesh().x_label_formatter(&|stored| format!("{stored:.0}")).draw()?;
    let colour = RGBColor(164, 0, 0);
    chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    Ok(())
}
