//! A measure over two parameters of a study, the others left aside.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::config::Study;
use super::evaluate::TrialRow;
use super::figures;

/// What stands for the trials that differ in other parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The highest.
    Best,
    /// The mean over the other parameters.
    Mean,
}

/// A measure by the values of two parameters.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Surface {
    /// Path of the parameter along a row.
    pub x: String,
    /// Path of the parameter along a column.
    pub y: String,
    /// Name of the figure.
    pub measure: String,
    /// Its values, in the order in which they come first.
    #[schema(value_type = Vec<Object>)]
    pub x_values: Vec<Value>,
    /// Its values, in the order in which they come first.
    #[schema(value_type = Vec<Object>)]
    pub y_values: Vec<Value>,
    /// A row for each value of `y`; null where no trial has the figure.
    pub cells: Vec<Vec<Option<f64>>>,
}

/// The surface of a figure over the parameters at two places.
pub fn of(study: &Study, rows: &[TrialRow], x: usize, y: usize, measure: &str, over: Over) -> Surface {
    let axis = |place: usize| {
        let mut values: Vec<Value> = Vec::new();
        for row in rows {
            let value = study.grid.values(row.trial as usize)[place].cloned().unwrap_or(Value::Null);
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let (x_values, y_values) = (axis(x), axis(y));
    let mut sums = vec![vec![(f64::NEG_INFINITY, 0.0, 0_usize); x_values.len()]; y_values.len()];
    let place = figures::place(measure);
    for row in rows {
        let Some(value) = place.and_then(|place| row.figures[place]) else { continue };
        let values = study.grid.values(row.trial as usize);
        let at = |axis: &[Value], place: usize| {
            let own = values[place].unwrap_or(&Value::Null);
            axis.iter().position(|value| value == own)
        };
        if let (Some(column), Some(line)) = (at(&x_values, x), at(&y_values, y)) {
            let cell = &mut sums[line][column];
            *cell = (cell.0.max(value), cell.1 + value, cell.2 + 1);
        }
    }
    let cell = |(best, sum, count): &(f64, f64, usize)| match over {
        _ if *count == 0 => None,
        Over::Best => Some(*best),
        Over::Mean => Some(sum / *count as f64),
    };
    Surface {
        x: study.grid.paths[x].clone(),
        y: study.grid.paths[y].clone(),
        measure: measure.to_owned(),
        x_values,
        y_values,
        cells: sums.iter().map(|line| line.iter().map(cell).collect()).collect(),
    }
}
