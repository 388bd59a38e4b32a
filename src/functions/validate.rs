//! `POST /api/backtests/validate`: what would become of a config, and every fault of it. Nothing is stored.

use warp::Filter;
use warp::filters::BoxedFilter;

use super::asked::{RunRequest, asked};
use super::call::{Call, call};
use super::reply::{Code, Refusal, Reply};
use crate::work::App;
use crate::work::validate::{ValidateError, Validated, validate};

pub(super) fn route(app: &App) -> BoxedFilter<(Reply,)> {
    let route = warp::path!("api" / "backtests" / "validate").and(warp::post()).and(call());
    super::plain("validate", app, route, answer)
}

/// Check a config
///
/// Takes what submit takes and stores nothing. The answer shows every field with its default.
#[utoipa::path(
    post, path = "/api/backtests/validate", operation_id = "validate", tag = "runs",
    request_body(content(
        (RunRequest = "application/json"),
        (String = "application/yaml"),
    )),
    responses((status = 200, description = "It can be run, and this is what would be", body = Validated)),
)]
pub(super) async fn answer(app: App, call: Call) -> Reply {
    let answered = async {
        call.parameters(&[]).check()?;
        let asked = asked(&call)?;
        match validate(&app, &asked.config).await {
            Ok(validated) => Ok(Reply::ok(&validated)),
            Err(ValidateError::Invalid(faults)) => Err(Reply::faults(Code::InvalidConfig, &faults).into()),
            Err(ValidateError::Data(error)) => Err(Reply::data(&error).into()),
        }
    };
    answered.await.unwrap_or_else(|refusal: Refusal| *refusal)
}
