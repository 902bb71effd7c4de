//! The graph of files: an edge from a file to each file with an item that it uses.
//!
//! `syn` reads paths in `use`, inline and in macros; re-exports are followed to the file with the item.
//! Module declarations, re-exports and test code make no edge. Method calls make none either, because the
//! types of receivers are unknown.

use crate::tree::Tree;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprCall, ExprLit, ExprPath, ImplItemFn, Item, Lit, Meta, UseTree, Visibility};

/// The first use of a file by another.
pub struct Edge {
    pub line: usize,
    pub uses: String,
    /// From a module to one that contains it.
    pub to_ancestor: bool,
}

pub type Edges = BTreeMap<(String, String), Edge>;

pub struct Graph {
    pub files: BTreeSet<String>,
    pub edges: Edges,
}

impl Graph {
    pub fn read(tree: &Tree) -> Self {
        let mut reader = Reader { tree, modules: Vec::new(), crates: BTreeMap::new(), mentions: Vec::new() };
        for (name, file) in targets(tree) {
            let root = reader.file(&file, parent_folder(&file), None);
            reader.crates.extend(name.map(|name| (name, root)));
        }
        let mut edges = Edges::new();
        for Mention { module, path, line } in &reader.mentions {
            let from = &reader.modules[*module].file;
            for target in reader.resolve(*module, path, &mut Vec::new()) {
                let Target::Item(owner) = target else { continue };
                let to = &reader.modules[owner].file;
                if from != to {
                    let to_ancestor = reader.is_within(*module, owner);
                    let edge = || Edge { line: *line, uses: path.join("::"), to_ancestor };
                    edges.entry((from.clone(), to.clone())).or_insert_with(edge);
                }
            }
        }
        Self { files: reader.modules.into_iter().map(|module| module.file).collect(), edges }
    }
}

/// The root file of each target; for libraries with the crate name.
fn targets(tree: &Tree) -> Vec<(Option<String>, String)> {
    let mut targets = Vec::new();
    for (manifest, text) in tree.0.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let mut package = String::new();
        for section in format!("\n{text}").split("\n[") {
            let value = |key: &str| {
                let line = section.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
                line?.split('"').next().map(str::to_owned)
            };
            let at = |path: &str| join(parent_folder(manifest), path);
            match (section.split(']').next().unwrap_or_default(), value("name"), value("path")) {
                ("package", Some(name), _) => package = name.replace('-', "_"),
                ("lib", _, Some(path)) => targets.push((Some(package.clone()), at(&path))),
                ("[bin" | "[bench" | "[test", _, Some(path)) => targets.push((None, at(&path))),
                ("[bench", Some(name), None) => targets.push((None, at(&format!("benches/{name}.rs")))),
                _ => {}
            }
        }
    }
    targets
}

fn parent_folder(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// With `..` resolved.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

enum Name {
    Item,
    Module(usize),
    Import(Vec<String>),
}

struct Module {
    file: String,
    /// The folder of its child modules.
    folder: String,
    parent: usize,
    root: usize,
    names: BTreeMap<String, Vec<Name>>,
    globs: Vec<Vec<String>>,
}

struct Mention {
    module: usize,
    path: Vec<String>,
    line: usize,
}

#[derive(Clone, Copy)]
enum Target {
    /// An item, by its module.
    Item(usize),
    Module(usize),
}

struct Reader<'a> {
    tree: &'a Tree,
    modules: Vec<Module>,
    crates: BTreeMap<String, usize>,
    mentions: Vec<Mention>,
}

impl Reader<'_> {
    fn file(&mut self, file: &str, folder: &str, parent: Option<usize>) -> usize {
        let text = self.tree.0.get(file).unwrap_or_else(|| panic!("module file {file} is missing"));
        let ast = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.module(file, folder.to_owned(), parent, &ast.items)
    }

    fn module(&mut self, file: &str, folder: String, parent: Option<usize>, items: &[Item]) -> usize {
        let id = self.modules.len();
        let root = parent.map_or(id, |parent| self.modules[parent].root);
        self.modules.push(Module {
            file: file.to_owned(),
            folder,
            parent: parent.unwrap_or(id),
            root,
            names: BTreeMap::new(),
            globs: Vec::new(),
        });
        for item in items {
            Paths { reader: self, module: id }.visit_item(item);
        }
        id
    }

    fn child(&mut self, module: usize, item: &syn::ItemMod) {
        let name = item.ident.to_string();
        let Module { file, folder, .. } = &self.modules[module];
        let inner = join(folder, &name);
        let (file, folder) = (file.clone(), folder.clone());
        let child = if let Some((_, items)) = &item.content {
            self.module(&file, inner, Some(module), items)
        } else if let Some(path) = item.attrs.iter().find_map(path_attribute) {
            let path = join(parent_folder(&file), &path);
            let folder = parent_folder(&path).to_owned();
            self.file(&path, &folder, Some(module))
        } else {
            let sibling = format!("{folder}/{name}.rs");
            let own = format!("{inner}/mod.rs");
            let path = if self.tree.0.contains_key(&own) { own } else { sibling };
            self.file(path.trim_start_matches('/'), &inner, Some(module))
        };
        self.name(module, name, Name::Module(child));
    }

    fn is_within(&self, module: usize, outer: usize) -> bool {
        let parent = self.modules[module].parent;
        parent != module && (parent == outer || self.is_within(parent, outer))
    }

    fn name(&mut self, module: usize, name: String, meaning: Name) {
        self.modules[module].names.entry(name).or_default().push(meaning);
    }

    fn import(&mut self, module: usize, item: &syn::ItemUse) {
        let private = matches!(item.vis, Visibility::Inherited);
        let mut leaves = Vec::new();
        flatten(&item.tree, Vec::new(), &mut leaves);
        for (path, name, line) in leaves {
            if private {
                self.mentions.push(Mention { module, path: path.clone(), line });
            }
            match name.as_str() {
                "_" => {}
                "*" => self.modules[module].globs.push(path),
                _ => self.name(module, name, Name::Import(path)),
            }
        }
    }

    /// All targets of a path: a name can be a module, a type and a function.
    /// None for external crates.
    fn resolve(&self, module: usize, path: &[String], within: &mut Vec<(usize, String)>) -> Vec<Target> {
        let Module { parent, root, .. } = self.modules[module];
        let mut found = match path[0].as_str() {
            "crate" => vec![Target::Module(root)],
            "self" => vec![Target::Module(module)],
            "super" => vec![Target::Module(parent)],
            first => self.look_up(module, first, within).unwrap_or_default(),
        };
        if found.is_empty() {
            found.extend(self.crates.get(path[0].as_str()).map(|root| Target::Module(*root)));
        }
        for name in &path[1..] {
            let modules: Vec<usize> = found.iter().filter_map(Target::module).collect();
            if modules.is_empty() {
                break; // The rest is a variant or an associated item.
            }
            found.clear();
            for module in modules {
                match name.as_str() {
                    "super" => found.push(Target::Module(self.modules[module].parent)),
                    "self" => found.push(Target::Module(module)),
                    // A name without a declaration is generated by a macro.
                    name => {
                        let inner = self.look_up(module, name, within);
                        found.extend(inner.unwrap_or_else(|| vec![Target::Item(module)]));
                    }
                }
            }
        }
        found
    }

    /// `None` if the module has no such name.
    /// `within` holds the lookups in progress, because imports may be cyclic.
    fn look_up(&self, module: usize, name: &str, within: &mut Vec<(usize, String)>) -> Option<Vec<Target>> {
        let lookup = (module, name.to_owned());
        let repeated = within.contains(&lookup);
        within.push(lookup);
        let mut found = None;
        if let Some(names) = self.modules[module].names.get(name) {
            let targets = found.insert(Vec::new());
            for name in names {
                match name {
                    Name::Item => targets.push(Target::Item(module)),
                    Name::Module(inner) => targets.push(Target::Module(*inner)),
                    Name::Import(path) if !repeated => targets.extend(self.resolve(module, path, within)),
                    Name::Import(_) => {}
                }
            }
        } else if !repeated {
            found = self.modules[module].globs.iter().find_map(|glob| {
                let open = self.resolve(module, glob, within);
                open.iter().filter_map(Target::module).find_map(|inner| self.look_up(inner, name, within))
            });
        }
        within.pop();
        found
    }
}

impl Target {
    fn module(&self) -> Option<usize> {
        if let Self::Module(module) = self { Some(*module) } else { None }
    }
}

/// Path, name in scope and line of each leaf.
fn flatten(tree: &UseTree, mut path: Vec<String>, leaves: &mut Vec<(Vec<String>, String, usize)>) {
    let (ident, name) = match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            return flatten(&inner.tree, path, leaves);
        }
        UseTree::Group(group) => {
            return group.items.iter().for_each(|tree| flatten(tree, path.clone(), leaves));
        }
        UseTree::Glob(glob) => {
            let line = glob.star_token.spans[0].start().line;
            return leaves.push((path, "*".to_owned(), line));
        }
        UseTree::Name(name) => (&name.ident, None),
        UseTree::Rename(rename) => (&rename.ident, Some(rename.rename.to_string())),
    };
    if ident != "self" || path.is_empty() {
        path.push(ident.to_string());
    }
    let name = name.unwrap_or_else(|| path[path.len() - 1].clone());
    leaves.push((path, name, ident.span().start().line));
}

struct Paths<'a, 'b> {
    reader: &'a mut Reader<'b>,
    module: usize,
}

impl Paths<'_, '_> {
    fn mention(&mut self, path: Vec<String>, line: usize) {
        self.reader.mentions.push(Mention { module: self.module, path, line });
    }

    /// Paths in tokens: two names or more, or one with a capital initial.
    fn scan(&mut self, tokens: TokenStream, quoted: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.scan(group.stream(), quoted),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        path.push(next.to_string());
                        at += 3;
                    }
                    if path.len() > 1 || path[0].starts_with(char::is_uppercase) {
                        self.mention(path, first.span().start().line);
                    }
                }
                TokenTree::Literal(literal) if quoted => {
                    if let Ok(path) = syn::parse_str(literal.to_string().trim_matches('"')) {
                        self.path(&path, literal.span().start().line);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn path(&mut self, path: &syn::Path, line: usize) {
        self.mention(path.segments.iter().map(|segment| segment.ident.to_string()).collect(), line);
    }
}

impl<'ast> Visit<'ast> for Paths<'_, '_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Mod(inner) => return self.reader.child(self.module, inner),
            Item::Use(import) => return self.reader.import(self.module, import),
            _ => {}
        }
        if let Some(name) = ident(item) {
            self.reader.name(self.module, name.to_string(), Name::Item);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        if !for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path, path.segments[0].ident.span().start().line);
        visit::visit_path(self, path);
    }

    /// One small name is a variable, unless it is called.
    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        if !path.path.get_ident().is_some_and(|name| name.to_string().starts_with(char::is_lowercase)) {
            visit::visit_expr_path(self, path);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func {
            self.visit_path(&path.path);
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        self.scan(invocation.tokens.clone(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => self.scan(list.tokens.clone(), true),
            Meta::Path(path) => self.visit_path(path),
            Meta::NameValue(_) => {}
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

/// `#[path = "…"]`
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if pair.path.is_ident("path") => Some(text.value()),
        _ => None,
    }
}

macro_rules! of_items {
    ($item:expr, $field:ident: $($kind:ident)*) => {
        match $item {
            $(Item::$kind(item) => Some(&item.$field),)*
            _ => None,
        }
    };
}

fn attributes(item: &Item) -> &[Attribute] {
    let all =
        of_items!(item, attrs: Const Enum Fn ForeignMod Impl Macro Mod Static Struct Trait Type Union Use);
    all.map_or(&[], |attributes| attributes)
}

fn ident(item: &Item) -> Option<&syn::Ident> {
    match item {
        Item::Macro(rules) => rules.ident.as_ref(),
        Item::Fn(function) => Some(&function.sig.ident),
        item => of_items!(item, ident: Const Enum Static Struct Trait Type Union),
    }
}
