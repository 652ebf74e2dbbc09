//! A file with faults planted in it, each behind a question: is it this one's turn?

use crate::mutation;
use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Expr, Item, Stmt, parse_quote};

/// A fault, and where.
pub struct Place {
    pub line: usize,
    pub what: String,
}

/// Finds the places for faults and plants those that are chosen.
///
/// Places are numbered in the order in which they are found, which is the same each time.
pub struct Planter<'a> {
    /// The number of the first place.
    pub first: usize,
    pub chosen: &'a BTreeSet<usize>,
    pub found: Vec<Place>,
}

impl Planter<'_> {
    /// Whether a fault is to be planted, with its number.
    fn place(&mut self, line: usize, what: impl FnOnce() -> String) -> Option<u32> {
        let number = self.first + self.found.len();
        self.found.push(Place { line, what: what() });
        self.chosen.contains(&number).then_some(number as u32)
    }
}

impl VisitMut for Planter<'_> {
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        // The compiler evaluates it, and knows no environment.
        if matches!(expression, Expr::Const(_)) {
            return;
        }
        let honest = expression.clone();
        visit_mut::visit_expr_mut(self, expression);
        let Some(mutation) = mutation::of_expression(&honest) else { return };
        if let Some(number) = self.place(honest.span().start().line, || mutation.what) {
            let mutated = mutation.expression;
            *expression = parse_quote!((if crate::mutants::is_active(#number) { #mutated } else { #expression }));
        }
    }

    fn visit_expr_if_mut(&mut self, branch: &mut syn::ExprIf) {
        let honest = branch.cond.clone();
        visit_mut::visit_expr_if_mut(self, branch);
        if mutation::is_bare(&honest)
            && let Some(number) = self.place(honest.span().start().line, || format!("if {} -> not", mutation::text(&honest)))
        {
            let condition = &branch.cond;
            *branch.cond = parse_quote!((crate::mutants::is_active(#number) ^ (#condition)));
        }
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        let honest = statement.clone();
        visit_mut::visit_stmt_mut(self, statement);
        if mutation::is_forgettable(&honest)
            && let Some(number) = self.place(honest.span().start().line, || format!("without: {}", mutation::text(&honest)))
        {
            *statement = parse_quote!(if !crate::mutants::is_active(#number) { #statement });
        }
    }

    /// The loops over registers are macros: `unroll!(COUNT, i => body)`.
    fn visit_macro_mut(&mut self, call: &mut syn::Macro) {
        if !call.path.is_ident("unroll") {
            return;
        }
        let tokens: Vec<TokenTree> = call.tokens.clone().into_iter().collect();
        let is = |i: usize, sign| matches!(tokens.get(i), Some(TokenTree::Punct(found)) if found.as_char() == sign);
        let Some(arrow) = (0..tokens.len()).find(|&i| is(i, '=') && is(i + 1, '>')) else { return };
        let head: TokenStream = tokens[..arrow + 2].iter().cloned().collect();
        let body: TokenStream = tokens[arrow + 2..].iter().cloned().collect();
        let Ok(mut body) = syn::parse2::<Expr>(body) else { return };
        self.visit_expr_mut(&mut body);
        call.tokens = quote!(#head #body);
    }

    fn visit_item_mut(&mut self, item: &mut Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(_) | Item::Static(_) => return,
            Item::Impl(block) if is_for_messages(block) => return,
            Item::Fn(function) if function.sig.constness.is_some() => return,
            Item::Fn(function) => &function.attrs,
            Item::Mod(module) => &module.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_test) {
            visit_mut::visit_item_mut(self, item);
        }
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        if function.sig.constness.is_none() {
            visit_mut::visit_impl_item_fn_mut(self, function);
        }
    }

    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_trait_item_const_mut(&mut self, _: &mut syn::TraitItemConst) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_path_mut(&mut self, _: &mut syn::Path) {}
    fn visit_angle_bracketed_generic_arguments_mut(&mut self, _: &mut syn::AngleBracketedGenericArguments) {}
    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}
    fn visit_attribute_mut(&mut self, _: &mut Attribute) {}
}

/// What an error says is not what a kernel computes.
fn is_for_messages(block: &syn::ItemImpl) -> bool {
    let Some((_, path, _)) = &block.trait_ else { return false };
    path.segments.last().is_some_and(|name| name.ident == "Display" || name.ident == "Debug")
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("test")
        || attribute.path().is_ident("cfg") && attribute.meta.to_token_stream().to_string().contains("test")
}

/// The text of a file, with every question on a line of its own, so that a line of the compiler's tells which fault does not compile.
pub fn text(file: &syn::File) -> String {
    file.to_token_stream().to_string().replace("crate :: mutants", "\ncrate :: mutants")
}
