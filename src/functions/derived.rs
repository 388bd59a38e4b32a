//! Runs about another run: what they answer in common.

use super::call::Call;
use super::function::{Answer, Content};
use super::parameter::Flag;
use super::record::{RETRY_AFTER_POLL, RunRecord};
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use super::status::{find, publication};
use super::submit::{LOCATION_OF_RUN, answer, caller, traceparent};
use crate::run::Kind;
use crate::work::App;
use crate::work::submit::{Derivation, derive};

pub(super) const ANSWERS: [Answer; 2] = [
    Answer::document(202, "Stored; it will be executed", &[Content::json(Shape::of::<RunRecord<'_>>())])
        .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL]),
    Answer::document(
        200,
        "The one that this engine has made before, as it is now",
        &[Content::json(Shape::of::<RunRecord<'_>>())],
    )
    .with(&[LOCATION_OF_RUN, RETRY_AFTER_POLL]),
];

pub(super) const REFUSALS: [Code; 5] = [
    Code::InvalidParameter,
    Code::RunNotFound,
    Code::RunNotCompleted,
    Code::RunDeleted,
    Code::StoreUnavailable,
];

/// Parameter of an audit.
pub(super) const DEEP: Flag = Flag {
    name: "deep",
    description: "Whether what the tables said first of the days of the run is read and compared, too; it takes about as \
                  long as loading them twice more",
};

/// Stores a run about the one that the path names.
pub(super) async fn derived(app: App, call: Call, kind: Kind) -> Result<Reply, Refusal> {
    let mut query = call.query();
    let deep = kind == Kind::Audit && DEEP.read(&mut query);
    query.check()?;
    let run = find(&app, &call).await?;
    let published = publication(&run)?;
    if run.submission.kind != Kind::Backtest {
        let status = run.state.status();
        let detail =
            format!("run {} is a {}; only backtests have such", run.id, run.submission.kind.as_str());
        return Err(Reply::wrong_state(Code::RunNotCompleted, detail, status).into());
    }
    let asked = Derivation {
        kind,
        deep,
        submitted_by: caller(&app, &call),
        traceparent: traceparent(&call),
        announces: call.message.is_enveloped,
    };
    Ok(answer(derive(&app, &run, published, asked).await))
}
