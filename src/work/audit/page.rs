//! The findings of an audit on one self-contained page.

use maud::{DOCTYPE, Markup, html};

use super::finding::{Audit, Check};
use crate::work::ENGINE_VERSION;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1d2430;background:#fff}\
    h1{font-size:1.5rem}section{border-top:1px solid #d5dae2;padding:.75rem 0}h2{font-size:1.05rem;margin:0}\
    .leaking{color:#a3160f}.suspicious{color:#8a5300}.clean{color:#1c6b34}.not_provable{color:#4b5567}\
    pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}\
    @media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14181f}section{border-color:#333b47}\
    .leaking{color:#ff9d96}.suspicious{color:#ffc470}.clean{color:#8fdba6}.not_provable{color:#b3bccb}}";

/// The page of an audit of what is called `name`.
pub fn page(name: &str, audit: &Audit) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Audit of " (name) }
                style { (maud::PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { "Audit of " (name) ": " span class=(audit.verdict.as_str()) { (words(audit.verdict.as_str())) } }
                    p { "Engine " code { (ENGINE_VERSION) } }
                    @for check in &audit.checks { (section(check)) }
                }
            }
        }
    }
    .into_string()
}

fn section(check: &Check) -> Markup {
    let figures = serde_json::to_string_pretty(&check.figures).unwrap_or_default();
    html! {
        section {
            h2 { (words(check.id)) ": " span class=(check.verdict.as_str()) { (words(check.verdict.as_str())) } }
            p { (check.what) }
            @if let Some(example) = &check.first_example { p { "First: " (example) } }
            details { summary { "Figures" } pre { (figures) } }
        }
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}
