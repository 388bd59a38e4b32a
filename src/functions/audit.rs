//! `POST /api/backtests/{run_id}/audit`: whether the signals of a completed run could have been known. The host calls this function by
//! envelope, because the wake-up message is one of its outputs.

use super::call::RUN_ID;
use super::derived::{ANSWERS, DEEP, REFUSALS, derived};
use super::function::{Function, Method, Operation};
use crate::run::Kind;

pub(super) const FUNCTION: Function =
    Function::http("audit", "backtests/{run_id}/audit", &[&AUDIT_RUN]).announcing();

const AUDIT_RUN: Operation = Operation {
    id: "auditRun",
    method: Method::Post,
    path: "backtests/{run_id}/audit",
    tag: "trust",
    summary: "Audit a run",
    description: "Looks for signals that know the future and for results that are too good: `audit.json` and \
                  `audit.html` of the run that is answered have the findings. Asking again answers the same run, until \
                  the engine is another one.",
    parameters: &[&RUN_ID, &DEEP],
    bodies: &[],
    answers: &ANSWERS,
    refusals: &REFUSALS,
    handler: |app, call| Box::pin(derived(app, call, Kind::Audit)),
};
