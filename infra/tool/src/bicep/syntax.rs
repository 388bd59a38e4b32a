//! Bicep files as trees: the plain subset of the language that every reader of ours understands. What lies outside of
//! it, and what does not parse, is a problem of the file.

use std::fmt;
use std::path::{Path, PathBuf};

use tree_sitter::{Node, Parser};

/// A place in a file; lines and columns begin at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Line.
    pub line: usize,
    /// Column, in bytes.
    pub column: usize,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// A name and where it stands.
#[derive(Debug, Clone)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where.
    pub at: At,
}

/// An expression and where it stands.
#[derive(Debug, Clone)]
pub struct Expr {
    /// Where.
    pub at: At,
    /// What.
    pub kind: Kind,
}

/// What an expression is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A string; without interpolation it is literal.
    Text {
        /// The value, if nothing is interpolated.
        literal: Option<String>,
        /// What is interpolated.
        holes: Vec<Expr>,
    },
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object.
    Object(Vec<Property>),
    /// An array.
    Array(Vec<Expr>),
    /// `[for … in over: body]`.
    For {
        /// The item, and perhaps its index.
        variables: Vec<Name>,
        /// What is gone through.
        over: Box<Expr>,
        /// What each gives.
        body: Box<Expr>,
    },
    /// `if (condition) body`.
    If {
        /// When.
        condition: Box<Expr>,
        /// What.
        body: Box<Expr>,
    },
    /// `condition ? yes : no`.
    Choice(Box<[Expr; 3]>),
    /// A name.
    Name(String),
    /// `object.property`.
    Member {
        /// Of what.
        object: Box<Expr>,
        /// Which.
        property: Name,
    },
    /// `object[index]`.
    Index {
        /// Of what.
        object: Box<Expr>,
        /// Which.
        index: Box<Expr>,
    },
    /// `function(arguments)`.
    Call {
        /// Name of the function; a namespace in front is left out.
        function: Name,
        /// Its arguments.
        arguments: Vec<Expr>,
    },
    /// An operator and what it works on.
    Operation {
        /// As written.
        operator: String,
        /// Left and right, or only one.
        operands: Vec<Expr>,
    },
    /// Something outside of the plain subset; already reported.
    Foreign,
}

/// One line of an object.
#[derive(Debug, Clone)]
pub struct Property {
    /// The key, unless it is computed.
    pub key: Option<Name>,
    /// The parts of a computed key.
    pub holes: Vec<Expr>,
    /// The value.
    pub value: Expr,
}

/// A declaration, with its decorators.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// Its name.
    pub name: Name,
    /// Its decorators: functions and their arguments.
    pub decorators: Vec<(Name, Vec<Expr>)>,
    /// What is declared.
    pub kind: Declared,
}

/// What a declaration declares.
#[derive(Debug, Clone)]
pub enum Declared {
    /// A parameter.
    Parameter {
        /// Its type, as written.
        kind: String,
        /// Its default.
        default: Option<Expr>,
    },
    /// A variable; in a parameter file, the value of a parameter too.
    Variable(Expr),
    /// The value of a parameter, in a parameter file.
    Assignment(Expr),
    /// A resource.
    Resource {
        /// `type@version`.
        kind: Name,
        /// Whether it exists already.
        existing: bool,
        /// Its body, with loops and conditions around it.
        body: Expr,
    },
    /// A module.
    Module {
        /// Its file, relative to this one.
        path: Name,
        /// Its body, with loops and conditions around it.
        body: Expr,
    },
    /// An output.
    Output {
        /// Its type, as written.
        kind: String,
        /// Its value.
        value: Expr,
    },
}

/// One file.
#[derive(Debug, Clone)]
pub struct File {
    /// Where it lies.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// `resourceGroup`, unless the file says otherwise.
    pub target_scope: String,
    /// The template that a parameter file is for.
    pub using: Option<Name>,
    /// Its declarations, in order.
    pub declarations: Vec<Declaration>,
    /// What could not be read.
    pub problems: Vec<(At, String)>,
}

/// A file that is no text in the first place.
#[derive(Debug, thiserror::Error)]
#[error("set up the Bicep grammar: {0}")]
pub struct GrammarError(String);

/// Reads a file from its text.
pub fn parse(path: &Path, text: &str) -> Result<File, GrammarError> {
    let parameters = path.extension().is_some_and(|extension| extension == "bicepparam");
    // The grammar knows no parameter files: to it `param name = value` lacks a type. A variable of the same width reads.
    let source = if parameters {
        text.lines()
            .map(|line| {
                line.strip_prefix("param ").map_or_else(|| line.to_owned(), |rest| format!("var   {rest}"))
            })
            .collect::<Vec<_>>()
            .join("\n")
    } else {
        text.to_owned()
    };
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_bicep::LANGUAGE.into())
        .map_err(|error| GrammarError(error.to_string()))?;
    let tree = parser.parse(&source, None).ok_or_else(|| GrammarError("no tree".to_owned()))?;
    let mut file = File {
        path: path.to_owned(),
        text: text.to_owned(),
        target_scope: "resourceGroup".to_owned(),
        using: None,
        declarations: Vec::new(),
        problems: Vec::new(),
    };
    let mut reader = Reader { source: &source, problems: Vec::new() };
    reader.syntax(tree.root_node());
    if reader.problems.is_empty() {
        let mut decorators = Vec::new();
        for node in named(tree.root_node()) {
            match node.kind() {
                "decorators" => decorators = reader.decorators(node),
                "target_scope_assignment" => {
                    if let Some(scope) = node.named_child(0) {
                        file.target_scope = reader.name(scope).text;
                    }
                }
                "using_statement" => file.using = node.named_child(0).map(|node| reader.name(node)),
                "metadata_declaration" | "comment" | "diagnostic_comment" => {}
                _ => match reader.declaration(node, std::mem::take(&mut decorators)) {
                    Some(mut declaration) => {
                        let line = text.lines().nth(declaration.name.at.line - 1).unwrap_or_default();
                        if parameters
                            && line.starts_with("param ")
                            && let Declared::Variable(value) = declaration.kind
                        {
                            declaration.kind = Declared::Assignment(value);
                        }
                        file.declarations.push(declaration);
                    }
                    None => reader.problem(
                        node,
                        format!("`{}` is outside of the plain subset", first_word(text, node)),
                    ),
                },
            }
        }
    }
    file.problems = reader.problems;
    Ok(file)
}

struct Reader<'a> {
    source: &'a str,
    problems: Vec<(At, String)>,
}

fn named(node: Node<'_>) -> Vec<Node<'_>> {
    let mut cursor = node.walk();
    node.named_children(&mut cursor).filter(|child| !child.kind().ends_with("comment")).collect()
}

fn first_word<'t>(text: &'t str, node: Node<'_>) -> &'t str {
    text.get(node.start_byte()..).unwrap_or_default().split_whitespace().next().unwrap_or_default()
}

fn at(node: Node<'_>) -> At {
    let start = node.start_position();
    At { line: start.row + 1, column: start.column + 1, start: node.start_byte(), end: node.end_byte() }
}

impl Reader<'_> {
    fn problem(&mut self, node: Node<'_>, message: impl fmt::Display) {
        self.problems.push((at(node), message.to_string()));
    }

    fn text(&self, node: Node<'_>) -> &str {
        self.source.get(node.byte_range()).unwrap_or_default()
    }

    /// Errors of the grammar, and the one that it does not see: two properties on one line without a comma.
    fn syntax(&mut self, node: Node<'_>) {
        if node.is_missing() {
            self.problem(node, format_args!("`{}` is missing", node.kind()));
            return;
        }
        if node.is_error() {
            let text = self.text(node).lines().next().unwrap_or_default().trim().to_owned();
            self.problem(node, format_args!("`{text}` is not understood"));
            return;
        }
        let mut cursor = node.walk();
        let children: Vec<_> = node.children(&mut cursor).collect();
        let parts = match node.kind() {
            "object" => Some("properties"),
            "array" => Some("items"),
            "infrastructure" => Some("declarations"),
            _ => None,
        };
        for pair in children.windows(2) {
            if let (Some(parts), [before, after]) = (parts, pair)
                && before.is_named()
                && after.is_named()
                && !after.kind().ends_with("comment")
                && before.end_position().row == after.start_position().row
            {
                self.problem(*after, format_args!("two {parts} stand on one line"));
            }
        }
        for child in children {
            self.syntax(child);
        }
    }

    /// The text of a name, or of a literal string.
    fn name(&self, node: Node<'_>) -> Name {
        Name { text: self.text(node).trim_matches('\'').to_owned(), at: at(node) }
    }

    fn decorators(&mut self, node: Node<'_>) -> Vec<(Name, Vec<Expr>)> {
        let mut found = Vec::new();
        for decorator in named(node) {
            if let Some(call) = decorator.named_child(0)
                && let Kind::Call { function, arguments } = self.expression(call).kind
            {
                found.push((function, arguments));
            }
        }
        found
    }

    fn declaration(&mut self, node: Node<'_>, decorators: Vec<(Name, Vec<Expr>)>) -> Option<Declaration> {
        let children = named(node);
        let name = self.name(*children.first()?);
        let kind = match (node.kind(), children.as_slice()) {
            ("parameter_declaration", [_, kind, default @ ..]) => Declared::Parameter {
                kind: self.text(*kind).to_owned(),
                default: default.first().map(|value| self.expression(*value)),
            },
            ("variable_declaration", [_, value]) => Declared::Variable(self.expression(*value)),
            ("output_declaration", [_, kind, value]) => {
                Declared::Output { kind: self.text(*kind).to_owned(), value: self.expression(*value) }
            }
            ("resource_declaration", [_, kind, body]) => {
                let mut cursor = node.walk();
                let existing = node.children(&mut cursor).any(|child| child.kind() == "existing");
                Declared::Resource { kind: self.name(*kind), existing, body: self.expression(*body) }
            }
            ("module_declaration", [_, path, body]) => {
                Declared::Module { path: self.name(*path), body: self.expression(*body) }
            }
            _ => return None,
        };
        Some(Declaration { name, decorators, kind })
    }

    fn boxed(&mut self, node: Option<Node<'_>>, parent: Node<'_>) -> Box<Expr> {
        Box::new(match node {
            Some(node) => self.expression(node),
            None => Expr { at: at(parent), kind: Kind::Foreign },
        })
    }

    fn expression(&mut self, node: Node<'_>) -> Expr {
        let children = named(node);
        let kind = match node.kind() {
            "string" => self.string(node, &children),
            "number" => self.text(node).parse().map_or(Kind::Foreign, Kind::Number),
            "boolean" => Kind::Bool(self.text(node) == "true"),
            "null" => Kind::Null,
            "identifier" => Kind::Name(self.text(node).to_owned()),
            "object" => Kind::Object(self.properties(&children)),
            "array" => Kind::Array(children.iter().map(|child| self.expression(*child)).collect()),
            "parenthesized_expression" if children.len() == 1 => return self.expression(children[0]),
            "if_statement" => Kind::If {
                condition: self.boxed(children.first().copied(), node),
                body: self.boxed(children.get(1).copied(), node),
            },
            "for_statement" => {
                let mut variables = Vec::new();
                let mut rest = children.as_slice();
                if let Some((first, others)) = rest.split_first() {
                    rest = others;
                    let parts =
                        if first.kind() == "for_loop_parameters" { named(*first) } else { vec![*first] };
                    variables = parts.into_iter().map(|part| self.name(part)).collect();
                }
                Kind::For {
                    variables,
                    over: self.boxed(rest.first().copied(), node),
                    body: self.boxed(rest.get(1).copied(), node),
                }
            }
            "ternary_expression" if children.len() == 3 => {
                let [a, b, c] = [children[0], children[1], children[2]].map(|child| self.expression(child));
                Kind::Choice(Box::new([a, b, c]))
            }
            "member_expression" if children.len() == 2 => {
                Kind::Member { object: self.boxed(Some(children[0]), node), property: self.name(children[1]) }
            }
            "subscript_expression" if children.len() == 2 => Kind::Index {
                object: self.boxed(Some(children[0]), node),
                index: self.boxed(Some(children[1]), node),
            },
            "call_expression" if children.len() == 2 => {
                let mut arguments = Vec::new();
                let function = match (children[0].kind(), named(children[0]).as_slice()) {
                    ("member_expression", [of, name]) => {
                        // `az.resourceGroup()` names a namespace, `account.listKeys()` a resource.
                        if !["az", "sys"].contains(&self.text(*of)) {
                            arguments.push(self.expression(*of));
                        }
                        Some(self.name(*name))
                    }
                    ("identifier", _) => Some(self.name(children[0])),
                    _ => None,
                };
                arguments.extend(named(children[1]).into_iter().map(|child| self.expression(child)));
                match function {
                    Some(function) => Kind::Call { function, arguments },
                    None => Kind::Foreign,
                }
            }
            "binary_expression" | "unary_expression" => {
                let operator =
                    node.child_by_field_name("operator").map_or("", |child| self.text(child)).to_owned();
                Kind::Operation {
                    operator,
                    operands: children.iter().map(|child| self.expression(*child)).collect(),
                }
            }
            other => {
                let what = other.replace('_', " ");
                self.problem(node, format_args!("a {what} is outside of the plain subset"));
                Kind::Foreign
            }
        };
        Expr { at: at(node), kind }
    }

    fn string(&mut self, node: Node<'_>, children: &[Node<'_>]) -> Kind {
        let text = self.text(node);
        if text.starts_with("'''") {
            return Kind::Text { literal: Some(text.trim_matches('\'').to_owned()), holes: Vec::new() };
        }
        let inner = text.get(1..text.len().saturating_sub(1)).unwrap_or_default().replace("\\'", "'");
        let mut holes = Vec::new();
        for hole in children.iter().filter(|child| child.kind() == "interpolation") {
            holes.extend(named(*hole).into_iter().map(|child| self.expression(child)));
        }
        Kind::Text { literal: holes.is_empty().then_some(inner), holes }
    }

    fn properties(&mut self, children: &[Node<'_>]) -> Vec<Property> {
        let mut found = Vec::new();
        for child in children.iter().filter(|child| child.kind() == "object_property") {
            let parts = named(*child);
            let [key, value] = parts.as_slice() else {
                self.problem(*child, "use `parent`: a nested resource is outside of the plain subset");
                continue;
            };
            let (name, holes) = match self.expression(*key).kind {
                Kind::Text { literal: None, holes } => (None, holes),
                _ => (Some(self.name(*key)), Vec::new()),
            };
            let value = self.expression(*value);
            found.push(Property { key: name, holes, value });
        }
        found
    }
}
