//! `POST /api/backtests/{run_id}/reproduce`: a completed run is made again and compared. The host calls this function by
//! envelope, because the wake-up message is one of its outputs.

use super::call::RUN_ID;
use super::derived::{ANSWERS, REFUSALS, derived};
use super::function::{Function, Method, Operation};
use crate::run::Kind;

pub(super) const FUNCTION: Function =
    Function::http("reproduce", "backtests/{run_id}/reproduce", &[&REPRODUCE_RUN]).announcing();

const REPRODUCE_RUN: Operation = Operation {
    id: "reproduceRun",
    method: Method::Post,
    path: "backtests/{run_id}/reproduce",
    tag: "trust",
    summary: "Make a run again",
    description: "Computes a completed run again from its config and the versions of the data that it read, and \
                  compares every file: `reproduction.json` of the run that is answered has the verdict. Asking again \
                  answers the same run, until the engine is another one.",
    parameters: &[&RUN_ID],
    bodies: &[],
    answers: &ANSWERS,
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(derived(app, call, Kind::Reproduction)),
};
