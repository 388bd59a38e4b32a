//! Route templates: `runs/{id:guid}/{*rest}` and what they match. Which function a path belongs to is decided in
//! `http`, by trying the routes in order.

use regex::Regex;

/// Route values in order of the template; `None` is an optional one left out.
pub type Parameters = Vec<(String, Option<String>)>;

/// A parsed template.
#[derive(Debug)]
pub struct Route {
    /// The template as written.
    pub template: String,
    pattern: Regex,
    parameters: Vec<Parameter>,
}

/// Why a template is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{template}`: {why}")]
pub struct RouteError {
    template: String,
    why: String,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    default: Option<String>,
    /// Ends in `?`.
    optional: bool,
    constraints: Vec<Constraint>,
}

#[derive(Debug)]
enum Constraint {
    Int,
    Long,
    Bool,
    Number,
    DateTime,
    Guid,
    Alpha,
    Length(usize, usize),
    Range(i64, i64),
    Regex(Regex),
    Required,
    File(bool),
}

enum Piece {
    Text(String),
    Parameter { parameter: Parameter, optional: bool, catch_all: bool },
}

impl Route {
    /// Reads a template below the route prefix.
    pub fn parse(template: &str) -> Result<Route, RouteError> {
        let fault = |why: String| RouteError { template: template.to_owned(), why };
        if template.starts_with(['/', '~']) {
            return Err(fault("must not begin with `/` or `~`".to_owned()));
        }
        let (mut pattern, mut parameters) = (String::from("^"), Vec::new());
        let segments = segments(template).map_err(fault)?;
        let last = segments.len().saturating_sub(1);
        for (index, segment) in segments.into_iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            let single = segment.len() == 1;
            let mut inner = String::new();
            let mut skippable = false;
            for piece in segment {
                match piece {
                    Piece::Text(text) => inner.push_str(&regex::escape(&text)),
                    Piece::Parameter { parameter, optional, catch_all } => {
                        if catch_all && (index != last || !single) {
                            return Err(fault(format!("the catch-all `{}` must come last", parameter.name)));
                        }
                        skippable = single && (optional || catch_all || parameter.default.is_some());
                        inner.push_str(if catch_all {
                            "(.*)"
                        } else if single {
                            "([^/]+)"
                        } else {
                            "([^/]+?)"
                        });
                        parameters.push(parameter);
                    }
                }
            }
            if skippable {
                pattern.push_str(&format!("(?:{slash}{inner})?"));
            } else {
                pattern.push_str(&format!("{slash}{inner}"));
            }
        }
        pattern.push_str("/?$");
        let pattern =
            regex::RegexBuilder::new(&pattern).case_insensitive(true).dot_matches_new_line(true).build();
        let pattern = pattern.map_err(|error| fault(error.to_string()))?;
        Ok(Route { template: template.to_owned(), pattern, parameters })
    }

    /// The parameters in a decoded path below the prefix, without a leading slash: `None` is a parameter left out.
    /// No answer if the path is not ours.
    pub fn matches(&self, path: &str) -> Option<Parameters> {
        // An empty part matches nothing, also where everything else would match.
        if path.starts_with('/') || path.contains("//") {
            return None;
        }
        let found = self.pattern.captures(path)?;
        let mut values = Vec::with_capacity(self.parameters.len());
        for (index, parameter) in self.parameters.iter().enumerate() {
            let value = found.get(index + 1).map(|value| value.as_str()).filter(|value| !value.is_empty());
            let value = value.map(str::to_owned).or_else(|| parameter.default.clone());
            let allowed = match &value {
                Some(value) => parameter.constraints.iter().all(|constraint| constraint.allows(value)),
                // What is left out fulfils a constraint only where the template says that it may be left out.
                None => parameter.optional || parameter.constraints.is_empty(),
            };
            if !allowed {
                return None;
            }
            values.push((parameter.name.clone(), value));
        }
        Some(values)
    }
}

/// Cuts a template at the slashes outside of braces. A doubled brace stands for a single one.
fn segments(template: &str) -> Result<Vec<Vec<Piece>>, String> {
    let mut segments = vec![Vec::new()];
    let mut text = String::new();
    let mut letters = template.chars().peekable();
    let flush = |text: &mut String, segments: &mut Vec<Vec<Piece>>| {
        if let (false, Some(segment)) = (text.is_empty(), segments.last_mut()) {
            segment.push(Piece::Text(std::mem::take(text)));
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '/' => {
                flush(&mut text, &mut segments);
                segments.push(Vec::new());
            }
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                text.push(letter);
            }
            '{' => {
                flush(&mut text, &mut segments);
                let mut inner = String::new();
                loop {
                    match letters.next() {
                        Some(brace @ ('{' | '}')) if letters.peek() == Some(&brace) => {
                            letters.next();
                            inner.push(brace);
                        }
                        Some('}') => break,
                        Some('{') => return Err("`{` within braces must be doubled".to_owned()),
                        Some(other) => inner.push(other),
                        None => return Err("a `{` is not closed".to_owned()),
                    }
                }
                if let Some(segment) = segments.last_mut() {
                    segment.push(parameter(&inner)?);
                }
            }
            '}' => return Err("a `}` was not opened".to_owned()),
            '?' => return Err("`?` is only allowed at the end of a parameter".to_owned()),
            other => text.push(other),
        }
    }
    flush(&mut text, &mut segments);
    if segments.iter().skip(1).any(Vec::is_empty) {
        return Err("has an empty part".to_owned());
    }
    Ok(segments)
}

/// What stands within braces: `*name:constraint(argument)=default?`.
fn parameter(text: &str) -> Result<Piece, String> {
    let (catch_all, text) = match text.trim_start_matches('*') {
        rest if rest.len() < text.len() => (true, rest),
        rest => (false, rest),
    };
    let (optional, text) = match text.strip_suffix('?') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let end = text.find([':', '=']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    if name.is_empty() || name.contains(['/', '{', '}', '?', '*']) {
        return Err(format!("`{{{text}}}` has no proper name"));
    }
    let (mut constraints, mut default) = (Vec::new(), None);
    while let Some(after) = rest.strip_prefix(':') {
        let end = constraint_end(after);
        constraints.push(constraint(&after[..end])?);
        rest = &after[end..];
    }
    if let Some(value) = rest.strip_prefix('=') {
        default = Some(value.to_owned());
    }
    Ok(Piece::Parameter {
        parameter: Parameter { name: name.to_owned(), default, optional, constraints },
        optional,
        catch_all,
    })
}

/// A constraint ends at `:` or `=`; within parentheses only after the `)` that such a sign or the end follows.
fn constraint_end(text: &str) -> usize {
    let stop = |at: usize| text[at..].is_empty() || text[at..].starts_with([':', '=']);
    match (text.find('('), text.find([':', '='])) {
        (Some(open), sign) if sign.is_none_or(|sign| open < sign) => {
            let closes = text.match_indices(')').map(|(at, _)| at + 1);
            closes.filter(|at| *at > open).find(|at| stop(*at)).unwrap_or(text.len())
        }
        (_, sign) => sign.unwrap_or(text.len()),
    }
}

fn constraint(text: &str) -> Result<Constraint, String> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => {
            let argument = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` is not closed"))?;
            (name, Some(argument))
        }
        None => (text, None),
    };
    let number =
        |text: &str| text.trim().parse::<i64>().map_err(|_| format!("`{text}` in `{name}` is not a number"));
    let count = |text: &str| {
        text.trim().parse::<usize>().map_err(|_| format!("`{text}` in `{name}` is not a length"))
    };
    let parsed = match (name.to_ascii_lowercase().as_str(), argument) {
        ("int", None) => Constraint::Int,
        ("long", None) => Constraint::Long,
        ("bool", None) => Constraint::Bool,
        ("decimal" | "double" | "float", None) => Constraint::Number,
        ("datetime", None) => Constraint::DateTime,
        ("guid", None) => Constraint::Guid,
        ("alpha", None) => Constraint::Alpha,
        ("required", None) => Constraint::Required,
        ("file", None) => Constraint::File(true),
        ("nonfile", None) => Constraint::File(false),
        ("minlength", Some(least)) => Constraint::Length(count(least)?, usize::MAX),
        ("maxlength", Some(most)) => Constraint::Length(0, count(most)?),
        ("length", Some(argument)) => match argument.split_once(',') {
            Some((least, most)) => Constraint::Length(count(least)?, count(most)?),
            None => Constraint::Length(count(argument)?, count(argument)?),
        },
        ("min", Some(least)) => Constraint::Range(number(least)?, i64::MAX),
        ("max", Some(most)) => Constraint::Range(i64::MIN, number(most)?),
        ("range", Some(argument)) => match argument.split_once(',') {
            Some((least, most)) => Constraint::Range(number(least)?, number(most)?),
            None => return Err(format!("`{text}` needs two numbers")),
        },
        ("regex", Some(pattern)) => {
            let pattern = regex::RegexBuilder::new(pattern).case_insensitive(true).build();
            Constraint::Regex(pattern.map_err(|error| error.to_string())?)
        }
        _ => return Err(format!("`{text}` is not a constraint")),
    };
    Ok(parsed)
}

impl Constraint {
    fn allows(&self, value: &str) -> bool {
        match self {
            Constraint::Int => value.parse::<i32>().is_ok(),
            Constraint::Long => value.parse::<i64>().is_ok(),
            Constraint::Bool => value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
            Constraint::Number => value.parse::<f64>().is_ok_and(f64::is_finite),
            Constraint::DateTime => {
                chrono::DateTime::parse_from_rfc3339(value).is_ok()
                    || value.parse::<chrono::NaiveDateTime>().is_ok()
                    || value.parse::<chrono::NaiveDate>().is_ok()
            }
            Constraint::Guid => uuid::Uuid::try_parse(value).is_ok(),
            Constraint::Alpha => value.chars().all(|letter| letter.is_ascii_alphabetic()),
            Constraint::Length(least, most) => (*least..=*most).contains(&value.chars().count()),
            Constraint::Range(least, most) => {
                value.parse().is_ok_and(|number| (*least..=*most).contains(&number))
            }
            Constraint::Regex(pattern) => pattern.is_match(value),
            Constraint::Required => true,
            Constraint::File(is_file) => {
                value.rsplit('/').next().unwrap_or_default().contains('.') == *is_file
            }
        }
    }
}
