//! The walk over a program: every declaration once, every value against its type.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::rules::{self, Rule};
use super::syntax::{At, Declaration, Declared, Expr, File, Kind, Name, Property};
use super::types::{Model, Type};
use super::values::{
    DEPTH, Scope, Values, allowed, children, declared_type, decorator, literal, property, unwrap,
};
use super::{Diagnostic, Program};

/// Finds everything that is wrong with `program`, in order of files and lines.
pub fn check(program: &Program) -> Vec<Diagnostic> {
    let mut checker = Checker::new(program);
    for (index, file) in program.files.iter().enumerate() {
        checker.file(index, file);
    }
    checker.unused();
    checker.found.into_iter().collect()
}

struct Checker<'p> {
    program: &'p Program,
    values: Values<'p>,
    found: BTreeSet<Diagnostic>,
    /// Names that something refers to, by file.
    used: BTreeSet<(usize, String)>,
}

/// The nearest of `known` to `name`, as a question.
fn meant<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    let near = known
        .map(|one| (strsim::osa_distance(&name.to_lowercase(), &one.to_lowercase()), one))
        .filter(|(distance, one)| *distance <= one.len().max(3) / 3)
        .min();
    near.map_or_else(String::new, |(_, one)| format!("; did you mean `{one}`?"))
}

fn written(kind: &Type) -> String {
    match kind {
        Type::Text => "a string".to_owned(),
        Type::Int => "an integer".to_owned(),
        Type::Number => "a number".to_owned(),
        Type::Bool => "a bool".to_owned(),
        Type::Any => "any value".to_owned(),
        Type::OneOf(values) => format!("one of {}", values.join(", ")),
        Type::List(_) => "an array".to_owned(),
        Type::Map(_) | Type::Model(_) => "an object".to_owned(),
    }
}

fn fits(actual: &Type, expected: &Type) -> bool {
    match (actual, expected) {
        (Type::Any, _)
        | (_, Type::Any)
        | (Type::Text | Type::OneOf(_), Type::Text | Type::OneOf(_))
        | (Type::Int, Type::Int | Type::Number)
        | (Type::Number, Type::Number)
        | (Type::Bool, Type::Bool)
        | (Type::Map(_) | Type::Model(_), Type::Map(_) | Type::Model(_)) => true,
        (Type::List(actual), Type::List(expected)) => fits(actual, expected),
        _ => false,
    }
}

/// Whether a name says that its value must not be seen.
fn sounds_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    let harmless = ["name", "uri", "url", "id", "reference", "login", "days"];
    ["password", "secret", "dsn", "token", "accountkey"].iter().any(|word| name.contains(word))
        && !harmless.iter().any(|end| name.ends_with(end))
}

impl<'p> Checker<'p> {
    fn new(program: &'p Program) -> Self {
        Self { program, values: Values::new(program), found: BTreeSet::new(), used: BTreeSet::new() }
    }

    fn report(&mut self, file: usize, at: At, code: &'static str, message: impl Into<String>) {
        let path = self.program.files[file].path.clone();
        self.found.insert(Diagnostic { path, at, code, message: message.into() });
    }

    fn parameters(file: &File) -> impl Iterator<Item = &Declaration> {
        file.declarations.iter().filter(|one| matches!(one.kind, Declared::Parameter { .. }))
    }

    // --- files -------------------------------------------------------------------------------------------------

    fn file(&mut self, index: usize, file: &'p File) {
        for (at, message) in &file.problems {
            let outside = message.ends_with("of the plain subset");
            self.report(index, *at, if outside { "subset" } else { "syntax" }, message);
        }
        let scope = Scope::of(index);
        let mut seen = BTreeSet::new();
        for declaration in &file.declarations {
            let output = matches!(declaration.kind, Declared::Output { .. });
            if !seen.insert((output, declaration.name.text.as_str())) {
                let message = format!("`{}` is declared twice", declaration.name.text);
                self.report(index, declaration.name.at, "duplicate", message);
            }
            self.decorators(index, declaration);
            match &declaration.kind {
                Declared::Parameter { kind, default } => {
                    self.parameter(&scope, declaration, kind, default.as_ref());
                }
                Declared::Variable(value) => self.references(&scope, value),
                Declared::Assignment(value) => self.references(&scope, value),
                Declared::Resource { kind, existing, body } => self.resource(&scope, kind, *existing, body),
                Declared::Module { path, body } => self.module(&scope, path, body),
                Declared::Output { kind, value } => {
                    self.references(&scope, value);
                    self.value(&scope, value, &declared_type(kind), true, None);
                    self.output(&scope, &declaration.name, value);
                }
            }
        }
        if let Some(using) = &file.using {
            match self.values.target(index, using) {
                None => self.report(index, using.at, "module", format!("there is no file `{}`", using.text)),
                Some(target) => {
                    let given = file.declarations.iter().filter_map(|one| match &one.kind {
                        Declared::Assignment(value) => Some((&one.name, value)),
                        _ => None,
                    });
                    self.arguments(&scope, target, using.at, &given.collect::<Vec<_>>());
                }
            }
        } else if file.path.extension().is_some_and(|extension| extension == "bicepparam") {
            let start = At { line: 1, column: 1, start: 0, end: 0 };
            self.report(index, start, "module", "a parameter file says `using` a template");
        }
    }

    fn decorators(&mut self, file: usize, declaration: &'p Declaration) {
        for (name, arguments) in &declaration.decorators {
            if !rules::DECORATORS.contains(&name.text.as_str()) {
                let hint = meant(&name.text, rules::DECORATORS.into_iter());
                self.report(file, name.at, "decorator", format!("`@{}` is not known{hint}", name.text));
            }
            for argument in arguments {
                self.references(&Scope::of(file), argument);
            }
        }
    }

    fn parameter(
        &mut self,
        scope: &Scope<'p>,
        declaration: &'p Declaration,
        kind: &str,
        default: Option<&'p Expr>,
    ) {
        let (name, file) = (&declaration.name, scope.file);
        let types = ["string", "int", "bool", "object", "array"];
        if !types.contains(&kind) {
            let hint = meant(kind, types.into_iter());
            self.report(file, name.at, "type", format!("`{kind}` is not a type of the plain subset{hint}"));
        }
        let secure = decorator(declaration, "secure").is_some();
        if !secure && kind != "bool" && kind != "int" && sounds_secret(&name.text) {
            let message = format!("`{}` sounds like a secret and is not marked `@secure()`", name.text);
            self.report(file, name.at, "secret", message);
        }
        let Some(value) = default else { return };
        self.references(scope, value);
        self.value(scope, value, &declared_type(kind), true, None);
        let harmless = literal(value) == Some("")
            || matches!(&value.kind, Kind::Call { function, .. } if function.text == "newGuid");
        if secure && !harmless {
            self.report(file, value.at, "secret", "a secret has no default other than '' or newGuid()");
        }
        self.allowed(scope, declaration, value);
        self.limits(scope, declaration, value);
    }

    /// A literal given for a parameter is one of its `@allowed` values.
    fn allowed(&mut self, scope: &Scope<'p>, declaration: &'p Declaration, value: &'p Expr) {
        let values = allowed(declaration);
        if values.is_empty() {
            return;
        }
        let show = |expr: &Expr| match &expr.kind {
            Kind::Text { literal: Some(text), .. } => Some(text.clone()),
            Kind::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let known: Vec<_> = values.iter().filter_map(show).collect();
        for (scope, shape) in self.values.shapes(scope, value, DEPTH) {
            if let Some(text) = show(shape)
                && !known.contains(&text)
            {
                let hint = meant(&text, known.iter().map(String::as_str));
                let message = format!(
                    "`{text}` is not allowed for `{}`, only {}{hint}",
                    declaration.name.text,
                    known.join(", ")
                );
                self.report(scope.file, shape.at, "allowed", message);
            }
        }
    }

    fn limits(&mut self, scope: &Scope<'p>, declaration: &'p Declaration, value: &'p Expr) {
        let limit = |name| match decorator(declaration, name) {
            Some([Expr { kind: Kind::Number(number), .. }]) => Some(*number),
            _ => None,
        };
        for (scope, shape) in self.values.shapes(scope, value, DEPTH) {
            let (size, least, most) = match &shape.kind {
                Kind::Number(number) => (*number, limit("minValue"), limit("maxValue")),
                Kind::Text { literal: Some(text), .. } => {
                    (i64::try_from(text.len()).unwrap_or(i64::MAX), limit("minLength"), limit("maxLength"))
                }
                _ => continue,
            };
            if least.is_some_and(|least| size < least) || most.is_some_and(|most| size > most) {
                let message = format!("lies outside of the limits of `{}`", declaration.name.text);
                self.report(scope.file, shape.at, "limits", message);
            }
        }
    }

    fn output(&mut self, scope: &Scope<'p>, name: &Name, value: &'p Expr) {
        if sounds_secret(&name.text) {
            let message =
                format!("output `{}` sounds like a secret; outputs are kept in clear text", name.text);
            self.report(scope.file, name.at, "secret", message);
        }
        if let Some(secret) = self.secret_in(scope, value, DEPTH) {
            let message = format!("`{secret}` is a secret; outputs are kept in clear text");
            self.report(scope.file, value.at, "secret", message);
        }
    }

    /// The first secret that an expression shows: a secure parameter, or keys that are listed.
    fn secret_in(&self, scope: &Scope<'p>, expr: &'p Expr, depth: usize) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        match &expr.kind {
            Kind::Name(name) => {
                let declaration = self.values.find(scope.file, name)?;
                match &declaration.kind {
                    Declared::Parameter { .. } => decorator(declaration, "secure").map(|_| name.clone()),
                    Declared::Variable(value) => self.secret_in(&Scope::of(scope.file), value, depth),
                    _ => None,
                }
            }
            Kind::Call { function, .. } if function.text.starts_with("list") => Some(function.text.clone()),
            // The condition of a choice shows nothing of what it asks about.
            Kind::Choice(parts) => {
                self.secret_in(scope, &parts[1], depth).or_else(|| self.secret_in(scope, &parts[2], depth))
            }
            Kind::Call { function, .. }
                if ["empty", "length", "contains"].contains(&function.text.as_str()) =>
            {
                None
            }
            _ => children(expr).into_iter().find_map(|child| self.secret_in(scope, child, depth)),
        }
    }

    fn module(&mut self, scope: &Scope<'p>, path: &'p Name, body: &'p Expr) {
        let file = scope.file;
        let program: &'p Program = self.program;
        self.references(scope, body);
        let (scope, body) = unwrap(scope, body);
        let Kind::Object(properties) = &body.kind else { return };
        self.keys(&scope, properties, &["name", "scope", "params", "dependsOn"], "a module");
        self.depends_on(&scope, properties);
        if path.text.contains(':') {
            self.report(file, path.at, "subset", "a registry module needs a network to be read");
            return;
        }
        let Some(target) = self.values.target(file, path) else {
            let known = program.files.iter().filter_map(|one| one.path.file_name()?.to_str());
            let hint = meant(path.text.rsplit('/').next().unwrap_or_default(), known);
            self.report(file, path.at, "module", format!("there is no file `{}`{hint}", path.text));
            return;
        };
        let scopes = (&program.files[file].target_scope, &program.files[target].target_scope);
        if scopes.0 != scopes.1 && property(properties, "scope").is_none() {
            let message = format!("a module for a {} needs a `scope` in a {} template", scopes.1, scopes.0);
            self.report(file, body.at, "scope", message);
        }
        let given = match property(properties, "params") {
            Some(Property { value: Expr { kind: Kind::Object(given), .. }, .. }) => {
                given.iter().filter_map(|one| Some((one.key.as_ref()?, &one.value))).collect()
            }
            Some(other) => {
                self.report(file, other.value.at, "type", "`params` is an object");
                return;
            }
            None => Vec::new(),
        };
        self.arguments(&scope, target, path.at, &given);
    }

    /// Values for the parameters of the file `target`.
    fn arguments(&mut self, scope: &Scope<'p>, target: usize, at: At, given: &[(&'p Name, &'p Expr)]) {
        let program: &'p Program = self.program;
        let callee = &program.files[target];
        for (name, value) in given {
            let Some(declaration) = Self::parameters(callee).find(|one| one.name.text == name.text) else {
                let hint = meant(&name.text, Self::parameters(callee).map(|one| one.name.text.as_str()));
                let message = format!("{} has no parameter `{}`{hint}", callee.path.display(), name.text);
                self.report(scope.file, name.at, "parameter", message);
                continue;
            };
            if let Declared::Parameter { kind, .. } = &declaration.kind {
                self.value(scope, value, &declared_type(kind), true, None);
            }
            self.allowed(scope, declaration, value);
            self.limits(scope, declaration, value);
            if decorator(declaration, "secure").is_none()
                && let Some(secret) = self.secret_in(scope, value, DEPTH)
            {
                let message = format!("`{secret}` is a secret and `{}` is not marked `@secure()`", name.text);
                self.report(scope.file, value.at, "secret", message);
            }
        }
        for declaration in Self::parameters(callee) {
            let required = matches!(declaration.kind, Declared::Parameter { default: None, .. });
            if required && !given.iter().any(|(name, _)| name.text == declaration.name.text) {
                let message =
                    format!("parameter `{}` of {} is missing", declaration.name.text, callee.path.display());
                self.report(scope.file, at, "parameter", message);
            }
        }
    }

    fn depends_on(&mut self, scope: &Scope<'p>, properties: &'p [Property]) {
        let Some(Property { value: Expr { kind: Kind::Array(items), .. }, .. }) =
            property(properties, "dependsOn")
        else {
            return;
        };
        for item in items {
            let name = match &item.kind {
                Kind::Name(name) => name,
                Kind::Index { object, .. } => match &object.kind {
                    Kind::Name(name) => name,
                    _ => continue,
                },
                _ => continue,
            };
            let known = self
                .values
                .find(scope.file, name)
                .is_none_or(|one| matches!(one.kind, Declared::Resource { .. } | Declared::Module { .. }));
            if !known {
                let message = format!("`{name}` is neither a resource nor a module");
                self.report(scope.file, item.at, "reference", message);
            }
        }
    }

    fn keys(&mut self, scope: &Scope<'p>, properties: &'p [Property], known: &[&str], what: &str) {
        for name in properties.iter().filter_map(|one| one.key.as_ref()) {
            if !known.contains(&name.text.as_str()) {
                let hint = meant(&name.text, known.iter().copied());
                let message = format!("`{}` is not a property of {what}{hint}", name.text);
                self.report(scope.file, name.at, "property", message);
            }
        }
    }

    // --- resources ---------------------------------------------------------------------------------------------

    fn resource(&mut self, scope: &Scope<'p>, kind: &'p Name, existing: bool, body: &'p Expr) {
        let file = scope.file;
        self.references(scope, body);
        let (scope, body) = unwrap(scope, body);
        let Kind::Object(properties) = &body.kind else { return };
        let name = property(properties, "name");
        let Some((type_name, version)) = kind.text.split_once('@') else {
            self.report(file, kind.at, "resource-type", "is written as 'type@version'");
            return;
        };
        let table = &self.program.table.resources;
        let literal_name = name.and_then(|one| literal(&one.value));
        let keyed = literal_name.map(|name| format!("{type_name}@{name}"));
        let entry = table.get(type_name).or_else(|| table.get(keyed.as_deref()?));
        let Some(entry) = entry else {
            let families = table.keys().any(|one| one.split('@').next() == Some(type_name));
            let (at, message) = if families {
                let known = table.keys().filter_map(|one| one.strip_prefix(type_name)?.strip_prefix('@'));
                let hint = meant(literal_name.unwrap_or_default(), known);
                let at = name.map_or(kind.at, |one| one.value.at);
                (at, format!("`{}` is not a known name of {type_name}{hint}", literal_name.unwrap_or("?")))
            } else {
                let hint =
                    meant(type_name, table.keys().map(|one| one.split('@').next().unwrap_or_default()));
                (kind.at, format!("the type `{type_name}` is not known{hint}"))
            };
            self.report(file, at, "resource-type", message);
            return;
        };
        let (model, versions) = (entry.model.clone(), entry.versions.clone());
        if !versions.iter().any(|one| one == version) {
            let last = versions.last().map_or("", String::as_str);
            let message = format!("{type_name} is not pinned at `{version}`; use {last}");
            self.report(file, kind.at, "api-version", message);
        }
        let special = ["name", "parent", "scope", "dependsOn"];
        match name {
            None => self.report(file, body.at, "required", format!("{type_name} needs a `name`")),
            Some(name) => {
                self.value(&scope, &name.value, &Type::Text, true, None);
                self.fixed_name(&scope, type_name, &name.value);
            }
        }
        if existing {
            self.keys(&scope, properties, &special[..3], "an existing resource");
        }
        self.depends_on(&scope, properties);
        self.parent(&scope, type_name, properties, body);
        if existing {
            return;
        }
        for one in properties.iter().filter(|one| {
            one.key.as_ref().is_some_and(|key| key.text == "location") && rules::without_region(type_name)
        }) {
            if literal(&one.value) != Some("global") {
                self.report(file, one.value.at, "value", format!("{type_name} lives in 'global'"));
            }
        }
        self.object(&scope, body, properties, &model, true, &special);
        if type_name == "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules" {
            self.firewall(&scope, properties);
        }
        if type_name == "Microsoft.DBforPostgreSQL/flexibleServers" {
            self.server(&scope, properties);
        }
    }

    /// A child stands below a resource of the type that its own type begins with.
    fn parent(&mut self, scope: &Scope<'p>, type_name: &str, properties: &'p [Property], body: &Expr) {
        let file = scope.file;
        let child = type_name.matches('/').count() > 1;
        let Some(parent) = property(properties, "parent") else {
            if child {
                self.report(file, body.at, "parent", format!("{type_name} needs a `parent`"));
            }
            return;
        };
        let target = match &parent.value.kind {
            Kind::Index { object, .. } => object,
            _ => &parent.value,
        };
        let Kind::Name(name) = &target.kind else {
            self.report(file, parent.value.at, "parent", "is the name of a resource");
            return;
        };
        let Some(declaration) = self.values.find(file, name) else { return };
        let fits = match &declaration.kind {
            Declared::Resource { kind, .. } => {
                let above = kind.text.split('@').next().unwrap_or_default();
                type_name.rsplit_once('/').is_some_and(|(prefix, _)| prefix == above)
            }
            _ => false,
        };
        if !fits {
            let message = format!("`{name}` cannot be the parent of {type_name}");
            self.report(file, parent.value.at, "parent", message);
        }
    }

    fn fixed_name(&mut self, scope: &Scope<'p>, type_name: &str, value: &'p Expr) {
        let Some(known) = rules::names(type_name) else { return };
        for (scope, shape) in self.values.shapes(scope, value, DEPTH) {
            // Of a name with interpolation, the fixed beginning counts.
            let Some(text) = self.values.texts(&scope, shape, DEPTH).into_iter().next() else { continue };
            let fits = known.iter().any(|one| *one == text || (one.ends_with('.') && text.starts_with(one)));
            if !fits {
                let hint = meant(&text, known.iter().copied());
                let message = format!("`{text}` is not a name that {type_name} can have{hint}");
                self.report(scope.file, shape.at, "value", message);
            }
        }
    }

    fn firewall(&mut self, scope: &Scope<'p>, properties: &'p [Property]) {
        let Some(Property { value: Expr { kind: Kind::Object(inner), .. }, .. }) =
            property(properties, "properties")
        else {
            return;
        };
        let (Some(start), Some(end)) = (property(inner, "startIpAddress"), property(inner, "endIpAddress"))
        else {
            return;
        };
        let starts = self.values.shapes(scope, &start.value, DEPTH);
        let ends = self.values.shapes(scope, &end.value, DEPTH);
        // Rules come as a list of objects: the shapes of both keys run in step.
        for ((_, start), (scope, end)) in starts.iter().zip(&ends) {
            let address = |expr: &Expr| literal(expr)?.parse::<Ipv4Addr>().ok();
            let (Some(first), Some(last)) = (address(start), address(end)) else { continue };
            if last < first {
                self.report(
                    scope.file,
                    end.at,
                    "firewall",
                    format!("the range ends before it begins, at {first}"),
                );
            }
            if first.is_unspecified() && last.is_broadcast() {
                self.report(scope.file, end.at, "firewall", "the range is the whole internet");
            }
        }
    }

    /// Compute size and tier belong together.
    fn server(&mut self, scope: &Scope<'p>, properties: &'p [Property]) {
        let Some(Property { value: Expr { kind: Kind::Object(sku), .. }, .. }) = property(properties, "sku")
        else {
            return;
        };
        let (Some(name), Some(tier)) = (property(sku, "name"), property(sku, "tier")) else { return };
        let names = self.values.shapes(scope, &name.value, DEPTH);
        let tiers = self.values.shapes(scope, &tier.value, DEPTH);
        for ((home, name), (_, tier)) in names.iter().zip(&tiers) {
            let (Some(name_text), Some(tier_text)) = (literal(name), literal(tier)) else { continue };
            match rules::POSTGRES_SKUS.iter().find(|(sku, ..)| *sku == name_text) {
                None => {
                    let hint = meant(name_text, rules::POSTGRES_SKUS.iter().map(|(sku, ..)| *sku));
                    let message = format!("the compute size `{name_text}` is not known{hint}");
                    self.report(home.file, name.at, "sku", message);
                }
                Some((_, fitting, _)) if *fitting != tier_text => {
                    let message = format!("{name_text} is of the tier {fitting}, not {tier_text}");
                    self.report(home.file, tier.at, "sku", message);
                }
                Some(_) => {}
            }
        }
    }

    /// Holds a value against its type; `whole` asks for required keys too. `rule` is that of the key it stands at.
    fn value(&mut self, scope: &Scope<'p>, expr: &'p Expr, expected: &Type, whole: bool, rule: Option<Rule>) {
        match &expr.kind {
            Kind::If { body, .. } => self.value(scope, body, expected, whole, rule),
            Kind::For { variables, over, body } => match expected {
                Type::List(item) => self.value(&scope.inside(variables, over), body, item, whole, rule),
                Type::Any => {}
                other => self.mismatch(scope, expr, "an array", other),
            },
            Kind::Choice(parts) => {
                self.value(scope, &parts[1], expected, whole, rule);
                self.value(scope, &parts[2], expected, whole, rule);
            }
            Kind::Call { function, arguments } if ["union", "concat"].contains(&function.text.as_str()) => {
                for argument in arguments {
                    self.value(scope, argument, expected, false, rule);
                }
            }
            Kind::Null | Kind::Foreign => {}
            Kind::Name(_) | Kind::Member { .. } | Kind::Index { .. } => {
                let actual = self.values.infer(scope, expr, DEPTH);
                if !fits(&actual, expected) {
                    self.mismatch(scope, expr, &written(&actual), expected);
                    return;
                }
                for (home, shape) in self.values.shapes(scope, expr, DEPTH) {
                    if !matches!(&shape.kind, Kind::Text { literal: Some(text), .. } if text.is_empty()) {
                        self.value(&home, shape, expected, whole, rule);
                    }
                }
            }
            Kind::Object(properties) => match expected {
                Type::Model(model) => self.object(scope, expr, properties, &model.clone(), whole, &[]),
                Type::Map(item) => {
                    for one in properties {
                        self.value(scope, &one.value, item, true, None);
                    }
                }
                Type::Any => {}
                other => self.mismatch(scope, expr, "an object", other),
            },
            Kind::Array(items) => match expected {
                Type::List(item) => {
                    for one in items {
                        self.value(scope, one, item, true, rule);
                    }
                }
                Type::Any => {}
                other => self.mismatch(scope, expr, "an array", other),
            },
            Kind::Text { literal, .. } => {
                if !fits(&Type::Text, expected) {
                    self.mismatch(scope, expr, "a string", expected);
                }
                if let (Type::OneOf(values), Some(text)) = (expected, literal)
                    && !values.contains(text)
                {
                    let hint = meant(text, values.iter().map(String::as_str));
                    let message = format!("`{text}` is not one of {}{hint}", values.join(", "));
                    self.report(scope.file, expr.at, "value", message);
                }
                if let (Some(rule), Some(text)) = (rule, literal) {
                    self.rule(scope, expr, rule, text);
                }
            }
            Kind::Number(number) => {
                if !fits(&Type::Int, expected) {
                    self.mismatch(scope, expr, "an integer", expected);
                }
                if matches!(rule, Some(Rule::Severity)) && !(0..=4).contains(number) {
                    self.report(scope.file, expr.at, "value", "a severity lies between 0 and 4");
                }
            }
            Kind::Bool(flag) => {
                if !fits(&Type::Bool, expected) {
                    self.mismatch(scope, expr, "a bool", expected);
                }
                if matches!(rule, Some(Rule::Never(never)) if never == *flag) {
                    self.report(scope.file, expr.at, "house", format!("must never be {flag}"));
                }
            }
            Kind::Call { .. } | Kind::Operation { .. } => {
                let actual = self.values.infer(scope, expr, DEPTH);
                if !fits(&actual, expected) {
                    self.mismatch(scope, expr, &written(&actual), expected);
                }
            }
        }
    }

    fn mismatch(&mut self, scope: &Scope<'p>, expr: &Expr, actual: &str, expected: &Type) {
        self.report(scope.file, expr.at, "type", format!("expected {}, not {actual}", written(expected)));
    }

    fn rule(&mut self, scope: &Scope<'p>, expr: &Expr, rule: Rule, text: &str) {
        let message = match rule {
            Rule::OneOf(values) if !values.contains(&text) => {
                let hint = meant(text, values.iter().copied());
                format!("`{text}` is not one of {}{hint}", values.join(", "))
            }
            Rule::Address if text.parse::<Ipv4Addr>().is_err() => format!("`{text}` is not an IPv4 address"),
            Rule::Duration
                if text
                    .strip_prefix("PT")
                    .and_then(|rest| rest.strip_suffix(['M', 'H']))
                    .is_none_or(|number| number.parse::<u32>().is_err()) =>
            {
                format!("`{text}` is not a length of time such as PT15M")
            }
            _ => return,
        };
        self.report(scope.file, expr.at, "value", message);
    }

    /// The keys of an object against a model. `own` are keys of the language, which are looked at elsewhere.
    fn object(
        &mut self,
        scope: &Scope<'p>,
        expr: &'p Expr,
        properties: &'p [Property],
        model: &str,
        whole: bool,
        own: &[&str],
    ) {
        let program: &'p Program = self.program;
        let keys = match program.table.model(model) {
            Model::Open => return,
            Model::Keys(keys) => keys,
            Model::Variants(tag, variants) => {
                let Some(chosen) = property(properties, tag) else {
                    self.report(scope.file, expr.at, "required", format!("`{tag}` is missing"));
                    return;
                };
                let Some(value) = literal(&chosen.value) else { return };
                match variants.get(value) {
                    Some(model) => self.object(scope, expr, properties, model, whole, own),
                    None => {
                        let hint = meant(value, variants.keys().map(String::as_str));
                        let message = format!("`{value}` is not a known `{tag}`{hint}");
                        self.report(scope.file, chosen.value.at, "value", message);
                    }
                }
                return;
            }
        };
        let short = model.split_once('.').map_or(model, |(_, name)| name);
        for one in properties {
            let Some(name) = &one.key else { continue };
            if own.contains(&name.text.as_str()) {
                continue;
            }
            match keys.get(&name.text) {
                None => {
                    let writable =
                        keys.iter().filter(|(_, key)| !key.read_only).map(|(name, _)| name.as_str());
                    let hint = meant(&name.text, writable);
                    let message = format!("`{}` is not a property of {short}{hint}", name.text);
                    self.report(scope.file, name.at, "property", message);
                }
                Some(key) if key.read_only => {
                    let message = format!("`{}` of {short} can only be read", name.text);
                    self.report(scope.file, name.at, "read-only", message);
                }
                Some(key) => {
                    self.value(scope, &one.value, &key.kind, true, rules::rule(model, &name.text));
                }
            }
        }
        for (name, key) in keys {
            if whole && key.required && !key.read_only && property(properties, name).is_none() {
                self.report(scope.file, expr.at, "required", format!("{short} needs `{name}`"));
            }
        }
    }

    // --- names -------------------------------------------------------------------------------------------------

    /// Every name that an expression uses is known, and so is every member.
    fn references(&mut self, scope: &Scope<'p>, expr: &'p Expr) {
        match &expr.kind {
            Kind::Name(name) => {
                let local = scope.loops.iter().any(|(one, _)| one.text == *name);
                if local {
                    return;
                }
                self.used.insert((scope.file, name.clone()));
                if self.values.find(scope.file, name).is_none() {
                    let known =
                        self.program.files[scope.file].declarations.iter().map(|one| one.name.text.as_str());
                    let known = known.chain(scope.loops.iter().map(|(one, _)| one.text.as_str()));
                    let hint = meant(name, known);
                    self.report(scope.file, expr.at, "name", format!("`{name}` is not declared{hint}"));
                }
            }
            Kind::Call { function, arguments } => {
                if !rules::FUNCTIONS.iter().any(|(name, _)| *name == function.text) {
                    let hint = meant(&function.text, rules::FUNCTIONS.iter().map(|(name, _)| *name));
                    let message = format!("there is no function `{}`{hint}", function.text);
                    self.report(scope.file, function.at, "name", message);
                }
                self.resource_ids(scope, function, arguments);
            }
            Kind::Member { object, property } => self.member(scope, object, property),
            Kind::Operation { operator, operands } if ["==", "!="].contains(&operator.as_str()) => {
                self.comparison(scope, operands);
            }
            Kind::Object(properties) => {
                let mut seen = BTreeSet::new();
                for name in properties.iter().filter_map(|one| one.key.as_ref()) {
                    if !seen.insert(name.text.as_str()) {
                        self.report(
                            scope.file,
                            name.at,
                            "duplicate",
                            format!("`{}` stands twice", name.text),
                        );
                    }
                }
            }
            Kind::For { variables, over, body } => {
                self.references(scope, over);
                self.references(&scope.inside(variables, over), body);
                return;
            }
            _ => {}
        }
        for child in children(expr) {
            self.references(scope, child);
        }
    }

    /// A comparison with a text that the other side can never be.
    fn comparison(&mut self, scope: &Scope<'p>, operands: &'p [Expr]) {
        let [left, right] = operands else { return };
        for (fixed, open) in [(left, right), (right, left)] {
            let Some(text) = literal(fixed) else { continue };
            let shapes = self.values.shapes(scope, open, DEPTH);
            let values: Vec<&str> = shapes.iter().filter_map(|(_, shape)| literal(shape)).collect();
            if !values.is_empty() && values.len() == shapes.len() && !values.contains(&text) {
                let hint = meant(text, values.iter().copied());
                self.report(scope.file, fixed.at, "comparison", format!("the value is never `{text}`{hint}"));
            }
        }
    }

    /// Types and roles in calls such as `resourceId('type', …)`.
    fn resource_ids(&mut self, scope: &Scope<'p>, function: &Name, arguments: &'p [Expr]) {
        if !function.text.to_lowercase().ends_with("resourceid") {
            return;
        }
        let Some(kind) = arguments.iter().find_map(|one| Some((one, literal(one)?))) else { return };
        let roles = "Microsoft.Authorization/roleDefinitions";
        let table = &self.program.table.resources;
        if !table.keys().any(|one| one == kind.1) {
            let hint = meant(kind.1, table.keys().map(String::as_str));
            let message = format!("the type `{}` is not known{hint}", kind.1);
            self.report(scope.file, kind.0.at, "resource-type", message);
        }
        if kind.1 != roles {
            return;
        }
        for id in arguments.iter().skip(1) {
            for (home, shape) in self.values.shapes(scope, id, DEPTH) {
                if let Some(text) = literal(shape)
                    && !rules::ROLES.iter().any(|(known, _)| *known == text)
                {
                    let hint = meant(text, rules::ROLES.iter().map(|(known, _)| *known));
                    let message = format!("`{text}` is not a role that may be assigned here{hint}");
                    self.report(home.file, shape.at, "role", message);
                }
            }
        }
    }

    fn member(&mut self, scope: &Scope<'p>, object: &'p Expr, property_name: &'p Name) {
        let name = property_name.text.as_str();
        if let Some((target, outputs)) = self.values.outputs_of(scope, object) {
            if !outputs.contains_key(name) {
                let hint = meant(name, outputs.keys().copied());
                let path = self.program.files[target].path.display().to_string();
                self.report(
                    scope.file,
                    property_name.at,
                    "member",
                    format!("{path} has no output `{name}`{hint}"),
                );
            }
            return;
        }
        let fixed = match &object.kind {
            Kind::Name(module)
                if matches!(
                    self.values.find(scope.file, module).map(|one| &one.kind),
                    Some(Declared::Module { .. })
                ) =>
            {
                Some(["name", "outputs"].as_slice())
            }
            Kind::Call { function, .. } => rules::members(&function.text),
            Kind::Member { object: outer, property } => match &outer.kind {
                Kind::Call { function, .. } => {
                    rules::members(&format!("{}.{}", function.text, property.text))
                }
                _ => None,
            },
            _ => None,
        };
        if let Some(known) = fixed {
            if !known.contains(&name) {
                let hint = meant(name, known.iter().copied());
                self.report(
                    scope.file,
                    property_name.at,
                    "member",
                    format!("there is no member `{name}`{hint}"),
                );
            }
            return;
        }
        if let Type::Model(model) = self.values.infer(scope, object, DEPTH) {
            if let Model::Keys(keys) = self.program.table.model(&model)
                && !keys.contains_key(name)
                && !["id", "name", "type", "apiVersion"].contains(&name)
            {
                let hint = meant(name, keys.keys().map(String::as_str));
                let message = format!("there is no member `{name}`{hint}");
                self.report(scope.file, property_name.at, "member", message);
            }
            return;
        }
        // Every object that can stand here has the member.
        for (home, shape) in self.values.shapes(scope, object, DEPTH) {
            let Kind::Object(properties) = &shape.kind else { continue };
            let open = properties.iter().any(|one| one.key.is_none());
            if !open && property(properties, name).is_none() {
                let known = properties.iter().filter_map(|one| Some(one.key.as_ref()?.text.as_str()));
                let hint = meant(name, known);
                let (path, line) = (self.program.files[home.file].path.display(), shape.at.line);
                let message = format!("the object of {path}:{line} has no member `{name}`{hint}");
                self.report(scope.file, property_name.at, "member", message);
            }
        }
    }

    fn unused(&mut self) {
        for (index, file) in self.program.files.iter().enumerate() {
            if !file.problems.is_empty() {
                continue;
            }
            for one in &file.declarations {
                let what = match &one.kind {
                    Declared::Parameter { .. } => "parameter",
                    Declared::Variable(_) => "variable",
                    Declared::Resource { existing: true, .. } => "existing resource",
                    _ => continue,
                };
                if !self.used.contains(&(index, one.name.text.clone())) {
                    self.report(
                        index,
                        one.name.at,
                        "unused",
                        format!("{what} `{}` is not used", one.name.text),
                    );
                }
            }
        }
    }
}
