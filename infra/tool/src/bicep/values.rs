//! What a value can be: followed through variables, loops, parameters and modules to the literals where it is written,
//! and its type where no literal can be seen.

use std::collections::BTreeMap;

use super::Program;
use super::rules;
use super::syntax::{Declaration, Declared, Expr, Kind, Name, Property};
use super::types::{Key, Model, Type};

/// How far a value is followed.
pub(crate) const DEPTH: usize = 24;

/// What an interpolated value is taken for when it cannot be seen.
const UNSEEN: &str = "\u{2026}";

/// Where names are looked up: a file and the loops around.
#[derive(Clone)]
pub(crate) struct Scope<'p> {
    pub(crate) file: usize,
    pub(super) loops: Vec<(&'p Name, Option<&'p Expr>)>,
}

impl<'p> Scope<'p> {
    pub(crate) fn of(file: usize) -> Self {
        Self { file, loops: Vec::new() }
    }

    pub(super) fn inside(&self, variables: &'p [Name], over: &'p Expr) -> Self {
        let mut inner = self.clone();
        for (position, variable) in variables.iter().enumerate() {
            inner.loops.push((variable, (position == 0).then_some(over)));
        }
        inner
    }
}

/// Looks values up.
pub(crate) struct Values<'p> {
    program: &'p Program,
    /// The file that a reference, written in a file, means.
    targets: BTreeMap<(usize, &'p str), usize>,
}

impl<'p> Values<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        let mut targets = BTreeMap::new();
        for (index, file) in program.files.iter().enumerate() {
            let modules = file.declarations.iter().filter_map(|one| match &one.kind {
                Declared::Module { path, .. } => Some(path),
                _ => None,
            });
            for reference in modules.chain(&file.using) {
                if let Some(target) = program.resolve(&file.path, &reference.text) {
                    targets.insert((index, reference.text.as_str()), target);
                }
            }
        }
        Self { program, targets }
    }

    pub(crate) fn find(&self, file: usize, name: &str) -> Option<&'p Declaration> {
        let program: &'p Program = self.program;
        program.files[file].declarations.iter().find(|one| {
            one.name.text == name && !matches!(one.kind, Declared::Output { .. } | Declared::Assignment(_))
        })
    }

    pub(super) fn target(&self, file: usize, reference: &'p Name) -> Option<usize> {
        self.targets.get(&(file, reference.text.as_str())).copied()
    }

    /// What callers give for a parameter of `file`: arguments of modules, lines of parameter files.
    pub(super) fn given(&self, file: usize, name: &str) -> Vec<(Scope<'p>, &'p Expr)> {
        let program: &'p Program = self.program;
        let mut found = Vec::new();
        for (index, caller) in program.files.iter().enumerate() {
            let for_us = |reference: &'p Name| self.target(index, reference) == Some(file);
            for declaration in &caller.declarations {
                match &declaration.kind {
                    Declared::Module { path, body } if for_us(path) => {
                        let (scope, body) = unwrap(&Scope::of(index), body);
                        if let Kind::Object(properties) = &body.kind
                            && let Some(Property { value: Expr { kind: Kind::Object(given), .. }, .. }) =
                                property(properties, "params")
                            && let Some(one) = property(given, name)
                        {
                            found.push((scope, &one.value));
                        }
                    }
                    Declared::Assignment(value)
                        if declaration.name.text == name && caller.using.as_ref().is_some_and(for_us) =>
                    {
                        found.push((Scope::of(index), value));
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// The literals that an expression can come to, as far as they can be seen.
    pub(crate) fn shapes(
        &self,
        scope: &Scope<'p>,
        expr: &'p Expr,
        depth: usize,
    ) -> Vec<(Scope<'p>, &'p Expr)> {
        if depth == 0 {
            return Vec::new();
        }
        let all = |exprs: &[&'p Expr]| -> Vec<_> {
            exprs.iter().flat_map(|one| self.shapes(scope, one, depth - 1)).collect()
        };
        match &expr.kind {
            Kind::Text { .. } | Kind::Number(_) | Kind::Bool(_) | Kind::Object(_) | Kind::Array(_) => {
                vec![(scope.clone(), expr)]
            }
            Kind::Choice(parts) => all(&[&parts[1], &parts[2]]),
            Kind::If { body, .. } => all(&[body]),
            Kind::For { variables, over, body } => {
                self.shapes(&scope.inside(variables, over), body, depth - 1)
            }
            Kind::Call { function, arguments } if ["union", "concat"].contains(&function.text.as_str()) => {
                all(&arguments.iter().collect::<Vec<_>>())
            }
            Kind::Operation { operator, operands } if operator == "??" => {
                all(&operands.iter().collect::<Vec<_>>())
            }
            Kind::Member { object, property: name } => {
                if let Some((target, _)) = self.outputs_of(scope, object) {
                    let program: &'p Program = self.program;
                    let outputs =
                        program.files[target].declarations.iter().filter_map(|one| match &one.kind {
                            Declared::Output { value, .. } if one.name.text == name.text => Some(value),
                            _ => None,
                        });
                    return outputs.flat_map(|one| self.shapes(&Scope::of(target), one, depth - 1)).collect();
                }
                if let (Kind::Name(resource), "name") = (&object.kind, name.text.as_str())
                    && let Some(Declared::Resource { body, .. }) =
                        self.find(scope.file, resource).map(|one| &one.kind)
                {
                    let (scope, body) = unwrap(&Scope::of(scope.file), body);
                    let Kind::Object(properties) = &body.kind else { return Vec::new() };
                    let name = property(properties, "name");
                    return name.map_or_else(Vec::new, |one| self.shapes(&scope, &one.value, depth - 1));
                }
                let mut found = Vec::new();
                for (scope, shape) in self.shapes(scope, object, depth - 1) {
                    if let Kind::Object(properties) = &shape.kind
                        && let Some(one) = property(properties, &name.text)
                    {
                        found.extend(self.shapes(&scope, &one.value, depth - 1));
                    }
                }
                found
            }
            Kind::Index { object, index } => {
                let mut found = Vec::new();
                for (scope, shape) in self.shapes(scope, object, depth - 1) {
                    match &shape.kind {
                        Kind::Object(properties) => {
                            let wanted = literal(index);
                            for one in properties {
                                let key = one.key.as_ref().map(|name| name.text.as_str());
                                if wanted.is_none() || wanted == key {
                                    found.extend(self.shapes(&scope, &one.value, depth - 1));
                                }
                            }
                        }
                        Kind::Array(items) => {
                            found.extend(items.iter().flat_map(|item| self.shapes(&scope, item, depth - 1)));
                        }
                        _ => {}
                    }
                }
                found
            }
            Kind::Name(name) => {
                if let Some((_, over)) = scope.loops.iter().rev().find(|(one, _)| one.text == *name) {
                    let Some(over) = over else { return Vec::new() };
                    let lists = self.shapes(scope, over, depth - 1);
                    let mut found = Vec::new();
                    for (scope, list) in lists {
                        if let Kind::Array(items) = &list.kind {
                            found.extend(items.iter().flat_map(|item| self.shapes(&scope, item, depth - 1)));
                        }
                    }
                    return found;
                }
                let Some(declaration) = self.find(scope.file, name) else { return Vec::new() };
                match &declaration.kind {
                    Declared::Variable(value) => self.shapes(&Scope::of(scope.file), value, depth - 1),
                    Declared::Parameter { default, .. } => {
                        let home = Scope::of(scope.file);
                        let mut found: Vec<_> =
                            allowed(declaration).iter().map(|value| (home.clone(), value)).collect();
                        if found.is_empty() {
                            let given = self.given(scope.file, name).into_iter();
                            let default = default.iter().map(|value| (home.clone(), value));
                            found = given
                                .chain(default)
                                .flat_map(|(scope, value)| self.shapes(&scope, value, depth - 1))
                                .collect();
                        }
                        // "Nothing", which its reader asks for before it uses the value.
                        found.retain(|(_, value)| literal(value) != Some(""));
                        found
                    }
                    _ => Vec::new(),
                }
            }
            _ => Vec::new(),
        }
    }

    /// The texts that an expression can come to; what cannot be seen of them is [`UNSEEN`].
    pub(crate) fn texts(&self, scope: &Scope<'p>, expr: &'p Expr, depth: usize) -> Vec<String> {
        let mut found = Vec::new();
        if depth == 0 {
            return found;
        }
        for (scope, shape) in self.shapes(scope, expr, depth) {
            match &shape.kind {
                Kind::Text { literal: Some(text), .. } => found.push(text.clone()),
                Kind::Text { literal: None, holes } => {
                    let source = &self.program.files[scope.file].text;
                    let part = |from: usize, to: usize| source.get(from..to).unwrap_or_default().to_owned();
                    let mut texts = vec![String::new()];
                    let mut from = shape.at.start + 1;
                    for hole in holes {
                        let before = part(from, hole.at.start - 2);
                        let mut values = self.texts(&scope, hole, depth - 1);
                        if values.is_empty() {
                            values.push(UNSEEN.to_owned());
                        }
                        texts = texts
                            .iter()
                            .flat_map(|text| values.iter().map(move |value| (text, value)))
                            .map(|(text, value)| format!("{text}{before}{value}"))
                            .collect();
                        from = hole.at.end + 1;
                    }
                    let rest = part(from, shape.at.end - 1);
                    found.extend(texts.into_iter().map(|text| text + &rest));
                }
                _ => {}
            }
        }
        found
    }

    /// The type of an expression, or anything.
    pub(super) fn infer(&self, scope: &Scope<'p>, expr: &'p Expr, depth: usize) -> Type {
        if depth == 0 {
            return Type::Any;
        }
        let any_list = || Type::List(Box::new(Type::Any));
        let any_map = || Type::Map(Box::new(Type::Any));
        match &expr.kind {
            Kind::Text { .. } => Type::Text,
            Kind::Number(_) => Type::Int,
            Kind::Bool(_) => Type::Bool,
            Kind::Object(_) => any_map(),
            Kind::Array(_) | Kind::For { .. } => any_list(),
            Kind::Null | Kind::Foreign => Type::Any,
            Kind::If { body, .. } => self.infer(scope, body, depth - 1),
            Kind::Choice(parts) => {
                let (yes, no) =
                    (self.infer(scope, &parts[1], depth - 1), self.infer(scope, &parts[2], depth - 1));
                if yes == no { yes } else { Type::Any }
            }
            Kind::Call { function, arguments } => {
                match rules::FUNCTIONS.iter().find(|(name, _)| *name == function.text).map(|(_, kind)| *kind)
                {
                    Some('t') => Type::Text,
                    Some('i') => Type::Int,
                    Some('b') => Type::Bool,
                    Some('l') => any_list(),
                    Some('m') => any_map(),
                    _ if ["union", "concat", "take", "skip", "intersection"]
                        .contains(&function.text.as_str()) =>
                    {
                        match arguments.first().map(|first| self.infer(scope, first, depth - 1)) {
                            Some(Type::Model(_) | Type::Map(_)) => any_map(),
                            Some(Type::List(_)) => any_list(),
                            Some(Type::Text | Type::OneOf(_)) => Type::Text,
                            _ => Type::Any,
                        }
                    }
                    _ => Type::Any,
                }
            }
            Kind::Operation { operator, operands } => match operator.as_str() {
                "+" | "*" | "/" | "%" => Type::Int,
                "-" => Type::Int,
                "??" => operands.last().map_or(Type::Any, |last| self.infer(scope, last, depth - 1)),
                _ => Type::Bool,
            },
            Kind::Index { object, .. } => match self.infer(scope, object, depth - 1) {
                Type::List(item) => *item,
                _ => self.shape_type(scope, expr, depth),
            },
            Kind::Member { object, property } => {
                if let Some((_, outputs)) = self.outputs_of(scope, object) {
                    return outputs.get(property.text.as_str()).map_or(Type::Any, |kind| declared_type(kind));
                }
                if let Kind::Call { function, .. } = &object.kind
                    && rules::members(&function.text).is_some()
                    && ["id", "name", "tenantId", "subscriptionId", "location"]
                        .contains(&property.text.as_str())
                {
                    return Type::Text;
                }
                match self.infer(scope, object, depth - 1) {
                    Type::Model(model) => match self.key(&model, &property.text) {
                        Some(key) => key.kind,
                        None if ["id", "name", "type"].contains(&property.text.as_str()) => Type::Text,
                        None => Type::Any,
                    },
                    _ => self.shape_type(scope, expr, depth),
                }
            }
            Kind::Name(name) => {
                if scope.loops.iter().any(|(one, _)| one.text == *name) {
                    return self.shape_type(scope, expr, depth);
                }
                match self.find(scope.file, name).map(|one| &one.kind) {
                    Some(Declared::Parameter { kind, .. }) => declared_type(kind),
                    Some(Declared::Variable(value)) => self.infer(&Scope::of(scope.file), value, depth - 1),
                    Some(Declared::Resource { kind, body, .. }) => {
                        let model = self.model_of(kind, None).map_or(Type::Any, |(_, model)| {
                            Type::Model(self.program.table.read_model(&model).to_owned())
                        });
                        if matches!(body.kind, Kind::For { .. }) {
                            Type::List(Box::new(model))
                        } else {
                            model
                        }
                    }
                    _ => Type::Any,
                }
            }
        }
    }

    /// The type that all literals behind an expression share.
    pub(super) fn shape_type(&self, scope: &Scope<'p>, expr: &'p Expr, depth: usize) -> Type {
        let mut kinds = self
            .shapes(scope, expr, depth - 1)
            .into_iter()
            .map(|(scope, shape)| self.infer(&scope, shape, depth - 1));
        let Some(first) = kinds.next() else { return Type::Any };
        if kinds.all(|kind| kind == first) { first } else { Type::Any }
    }

    pub(super) fn key(&self, model: &str, name: &str) -> Option<Key> {
        match self.program.table.model(model) {
            Model::Keys(keys) => keys.get(name).cloned(),
            _ => Some(Key { kind: Type::Any, required: false, read_only: false }),
        }
    }

    /// The outputs of the module that `expr` means by `module.outputs`, and that module's file.
    pub(super) fn outputs_of(
        &self,
        scope: &Scope<'p>,
        expr: &'p Expr,
    ) -> Option<(usize, BTreeMap<&'p str, &'p str>)> {
        let Kind::Member { object, property } = &expr.kind else { return None };
        let (Kind::Name(name), "outputs") = (&object.kind, property.text.as_str()) else { return None };
        let Some(Declared::Module { path, .. }) = self.find(scope.file, name).map(|one| &one.kind) else {
            return None;
        };
        let program: &'p Program = self.program;
        let target = self.target(scope.file, path)?;
        let outputs = program.files[target].declarations.iter().filter_map(|one| match &one.kind {
            Declared::Output { kind, .. } => Some((one.name.text.as_str(), kind.as_str())),
            _ => None,
        });
        Some((target, outputs.collect()))
    }

    /// Resource type and model of `type@version`; `name` chooses where the shape depends on it.
    pub(super) fn model_of(&self, kind: &Name, name: Option<&str>) -> Option<(String, String)> {
        let (kind, _) = kind.text.split_once('@')?;
        let resources = &self.program.table.resources;
        let exact = resources.get(kind).or_else(|| resources.get(&format!("{kind}@{}", name?)));
        exact.map(|resource| (kind.to_owned(), resource.model.clone()))
    }
}

pub(super) fn declared_type(kind: &str) -> Type {
    match kind.trim_end_matches('?') {
        "string" => Type::Text,
        "int" => Type::Int,
        "bool" => Type::Bool,
        "object" => Type::Map(Box::new(Type::Any)),
        "array" => Type::List(Box::new(Type::Any)),
        list if list.ends_with("[]") => Type::List(Box::new(declared_type(&list[..list.len() - 2]))),
        _ => Type::Any,
    }
}

pub(crate) fn decorator<'d>(declaration: &'d Declaration, name: &str) -> Option<&'d [Expr]> {
    declaration.decorators.iter().find(|(one, _)| one.text == name).map(|(_, arguments)| arguments.as_slice())
}

pub(crate) fn allowed(declaration: &Declaration) -> &[Expr] {
    match decorator(declaration, "allowed") {
        Some([Expr { kind: Kind::Array(values), .. }]) => values,
        _ => &[],
    }
}

pub(crate) fn literal(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        Kind::Text { literal: Some(text), .. } => Some(text),
        _ => None,
    }
}

pub(crate) fn property<'e>(properties: &'e [Property], key: &str) -> Option<&'e Property> {
    properties.iter().find(|one| one.key.as_ref().is_some_and(|name| name.text == key))
}

/// The object inside conditions and loops, with the loops' variables.
pub(crate) fn unwrap<'p>(scope: &Scope<'p>, expr: &'p Expr) -> (Scope<'p>, &'p Expr) {
    match &expr.kind {
        Kind::If { body, .. } => unwrap(scope, body),
        Kind::For { variables, over, body } => unwrap(&scope.inside(variables, over), body),
        _ => (scope.clone(), expr),
    }
}

/// The expressions directly inside of one.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    match &expr.kind {
        Kind::Text { holes, .. } => holes.iter().collect(),
        Kind::Object(properties) => {
            properties.iter().flat_map(|one| one.holes.iter().chain([&one.value])).collect()
        }
        Kind::Array(items) => items.iter().collect(),
        Kind::For { over, body, .. } => vec![over, body],
        Kind::If { condition, body } => vec![condition, body],
        Kind::Choice(parts) => parts.iter().collect(),
        Kind::Member { object, .. } => vec![object],
        Kind::Index { object, index } => vec![object, index],
        Kind::Call { arguments, .. } => arguments.iter().collect(),
        Kind::Operation { operands, .. } => operands.iter().collect(),
        Kind::Number(_) | Kind::Bool(_) | Kind::Null | Kind::Name(_) | Kind::Foreign => Vec::new(),
    }
}
