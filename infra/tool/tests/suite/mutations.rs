//! Breaks the real `infra/` in one place after the other and asks whether the checks notice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use infra_tool::bicep::syntax::{At, Declared, Expr, File, Kind};
use infra_tool::bicep::{Program, check};
use infra_tool::crosscheck::{self, Surroundings};

use super::project;

/// Share of mutants that must be noticed, in percent.
const LEAST: usize = 95;

struct Mutant {
    group: &'static str,
    path: PathBuf,
    at: At,
    text: String,
    instead: String,
}

struct Breaker<'f> {
    file: &'f File,
    found: Vec<Mutant>,
}

impl Breaker<'_> {
    fn add(&mut self, group: &'static str, at: At, instead: impl Fn(&str) -> String) {
        let text = &self.file.text[at.start..at.end];
        let instead = instead(text);
        assert_ne!(text, instead, "a mutant that changes nothing");
        self.found.push(Mutant { group, path: self.file.path.clone(), at, text: text.to_owned(), instead });
    }

    /// Leaves out the last letter, inside of quotes where there are some.
    fn shorten(text: &str) -> String {
        match text.strip_suffix('\'') {
            Some(quoted) => {
                format!("{}'", quoted.chars().take(quoted.chars().count() - 1).collect::<String>())
            }
            None if text.len() > 1 => text.chars().take(text.chars().count() - 1).collect(),
            None => format!("{text}x"),
        }
    }

    fn expression(&mut self, expr: &Expr, key: &str) {
        match &expr.kind {
            Kind::Name(_) => self.add("a name that is used", expr.at, Self::shorten),
            Kind::Member { object, property } => {
                self.add("a member", property.at, Self::shorten);
                self.expression(object, key);
                return;
            }
            Kind::Call { function, .. } => self.add("a function", function.at, Self::shorten),
            Kind::Bool(_) => self.add("a bool as text", expr.at, |text| format!("'{text}'")),
            Kind::Number(_) if !key.is_empty() => {
                self.add("a number as text", expr.at, |text| format!("'{text}'"));
            }
            Kind::Object(properties) => {
                for one in properties {
                    if let Some(name) = &one.key {
                        self.add("a key", name.at, Self::shorten);
                    }
                    for hole in &one.holes {
                        self.expression(hole, key);
                    }
                    self.expression(&one.value, one.key.as_ref().map_or("", |name| name.text.as_str()));
                }
                return;
            }
            // Free text cannot be wrong to a checker: names of our own, descriptions, queries.
            Kind::Text { literal: Some(text), .. } if !free(key, text) => {
                self.add("a word from a closed list", expr.at, Self::shorten);
            }
            _ => {}
        }
        let children: Vec<&Expr> = match &expr.kind {
            Kind::Text { holes, .. } => holes.iter().collect(),
            Kind::Array(items) => items.iter().collect(),
            Kind::For { over, body, .. } => vec![over, body],
            Kind::If { condition, body } => vec![condition, body],
            Kind::Choice(parts) => parts.iter().collect(),
            Kind::Index { object, index } => vec![object, index],
            Kind::Call { arguments, .. } => arguments.iter().collect(),
            Kind::Operation { operands, .. } => operands.iter().collect(),
            _ => Vec::new(),
        };
        for child in children {
            self.expression(child, key);
        }
    }
}

fn free(key: &str, text: &str) -> bool {
    let own =
        ["name", "description", "displayName", "notes", "query", "roleName", "groupShortName", "environment"];
    own.contains(&key) || text.is_empty() || text.contains(' ')
}

/// Every place of a file where a mistake could stand.
fn mutants(file: &File) -> Vec<Mutant> {
    let mut breaker = Breaker { file, found: Vec::new() };
    for declaration in &file.declarations {
        for (name, _) in &declaration.decorators {
            breaker.add("a decorator", name.at, Breaker::shorten);
        }
        match &declaration.kind {
            Declared::Parameter { default, .. } => {
                breaker.add("a declared name", declaration.name.at, Breaker::shorten);
                if let Some(default) = default {
                    breaker.expression(default, "name");
                }
            }
            Declared::Variable(value) => {
                breaker.add("a declared name", declaration.name.at, Breaker::shorten);
                breaker.expression(value, "name");
            }
            Declared::Assignment(value) => {
                breaker.add("a declared name", declaration.name.at, Breaker::shorten);
                breaker.expression(value, "name");
            }
            Declared::Resource { kind, body, .. } => {
                breaker.add("a resource type", kind.at, |text| text.replacen('@', "x@", 1));
                breaker.add("an API version", kind.at, |text| text.replacen("@20", "@19", 1));
                breaker.expression(body, "");
            }
            Declared::Module { path, body } => {
                breaker.add("a module path", path.at, |text| text.replacen(".bicep", "s.bicep", 1));
                breaker.expression(body, "");
            }
            Declared::Output { value, .. } => {
                breaker.add("a declared name", declaration.name.at, Breaker::shorten);
                breaker.expression(value, "name");
            }
        }
    }
    breaker.found
}

#[test]
fn a_mistake_anywhere_is_noticed() {
    let program = Program::load(&project(), "infra").unwrap();
    let around = Surroundings::load(&project()).unwrap();
    let clean = |program: &Program| {
        check::check(program).is_empty() && crosscheck::check(program, &around).is_empty()
    };
    assert!(clean(&program), "the real files are not clean: `cargo infra check`");

    let mut score: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut missed = Vec::new();
    for file in &program.files {
        for mutant in mutants(file) {
            let mut text = file.text.clone();
            text.replace_range(mutant.at.start..mutant.at.end, &mutant.instead);
            let noticed = !clean(&program.with(&mutant.path, &text).unwrap());
            let (caught, all) = score.entry(mutant.group).or_default();
            *caught += usize::from(noticed);
            *all += 1;
            if !noticed {
                let Mutant { group, path, at, text, instead } = mutant;
                missed.push(format!(
                    "{}:{}:{}: {group}: {text} -> {instead}",
                    path.display(),
                    at.line,
                    at.column
                ));
            }
        }
    }
    for (group, (caught, all)) in &score {
        println!("{group:<28} {caught:>4} of {all:>4}");
    }
    let (caught, all) = score.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{:<28} {caught:>4} of {all:>4}: {:.1} %", "together", 100.0 * caught as f64 / all as f64);
    println!("not noticed:\n  {}", missed.join("\n  "));
    assert!(all > 1000, "only {all} mutants");
    assert!(caught * 100 >= all * LEAST, "{caught} of {all} noticed");
}
