//! The faults: what a slip of the hand could have made of an expression or a statement.

use proc_macro2::Span;
use quote::ToTokens;
use syn::{BinOp, Expr, ExprCall, ExprMethodCall, ExprPath, Ident, Lit, LitInt, Stmt, parse_quote};

/// Another expression in the place of one.
pub struct Mutation {
    pub what: String,
    pub expression: Expr,
}

/// What may take the place of an expression.
pub fn of_expression(expression: &Expr) -> Option<Mutation> {
    let mutated = match expression {
        Expr::Binary(binary) if !has_let(expression) => {
            let mut binary = binary.clone();
            binary.op = other_operator(binary.op)?;
            binary.into()
        }
        Expr::MethodCall(call) => other_method(call)?,
        Expr::Call(call) => other_intrinsic(call)?,
        Expr::Lit(literal) => {
            let Lit::Int(number) = &literal.lit else { return None };
            let more = number.base10_parse::<u64>().ok()?.checked_add(1)?;
            let more = LitInt::new(&format!("{more}{}", number.suffix()), number.span());
            parse_quote!(#more)
        }
        _ => return None,
    };
    Some(Mutation { what: format!("{} -> {}", text(expression), text(&mutated)), expression: mutated })
}

/// `if let`, which is only an expression where a condition is.
pub fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Whether a condition has no operator that would be a place of its own for a fault.
pub fn is_bare(condition: &Expr) -> bool {
    !matches!(condition, Expr::Binary(_) | Expr::Let(_))
}

/// A statement that could have been forgotten.
pub fn is_forgettable(statement: &Stmt) -> bool {
    match statement {
        // To ask for memory ahead of time changes nothing but the time.
        Stmt::Expr(Expr::MethodCall(call), Some(_)) => !call.method.to_string().starts_with("prefetch"),
        Stmt::Expr(Expr::Assign(_) | Expr::Call(_) | Expr::Try(_), Some(_)) => true,
        Stmt::Macro(statement) => statement.mac.path.get_ident().is_some_and(|name| name == "assert" || name == "assert_eq"),
        _ => false,
    }
}

pub fn text(tokens: &impl ToTokens) -> String {
    const LONGEST: usize = 100;
    let text = tokens.to_token_stream().to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn other_operator(operator: BinOp) -> Option<BinOp> {
    use BinOp::*;
    Some(match operator {
        Add(_) => parse_quote!(-),
        Sub(_) => parse_quote!(+),
        Mul(_) => parse_quote!(+),
        Div(_) => parse_quote!(*),
        Rem(_) => parse_quote!(/),
        And(_) => parse_quote!(||),
        Or(_) => parse_quote!(&&),
        BitAnd(_) => parse_quote!(|),
        BitOr(_) | BitXor(_) => parse_quote!(&),
        Shl(_) => parse_quote!(>>),
        Shr(_) => parse_quote!(<<),
        Lt(_) => parse_quote!(<=),
        Le(_) => parse_quote!(<),
        Gt(_) => parse_quote!(>=),
        Ge(_) => parse_quote!(>),
        Eq(_) => parse_quote!(!=),
        Ne(_) => parse_quote!(==),
        AddAssign(_) => parse_quote!(-=),
        SubAssign(_) => parse_quote!(+=),
        MulAssign(_) => parse_quote!(+=),
        BitAndAssign(_) => parse_quote!(|=),
        BitOrAssign(_) => parse_quote!(&=),
        _ => return None,
    })
}

/// A vector's operations are methods.
fn other_method(call: &ExprMethodCall) -> Option<Expr> {
    let named = |name: &str| {
        let mut call = call.clone();
        call.method = Ident::new(name, Span::call_site());
        Some(call.into())
    };
    let (receiver, arguments) = (&call.receiver, &call.args);
    let name = call.method.to_string();
    match (name.as_str(), arguments.len()) {
        ("add", 2) => named("sub"),
        ("sub", 2) => named("add"),
        ("mul", 2) => named("add"),
        ("div", 2) => named("mul"),
        ("min", 1 | 2) => named("max"),
        ("max", 1 | 2) => named("min"),
        ("lt", 2) => named("le"),
        ("le", 2) => named("lt"),
        ("eq", 2) => named("le"),
        ("add_i32", 2) => named("sub_i32"),
        ("sub_i32", 2) => named("add_i32"),
        ("and_i32", 2) => named("or_i32"),
        ("or_i32" | "xor_i32", 2) => named("and_i32"),
        ("odd_to_even", 1) => named("even_to_odd"),
        ("even_to_odd", 1) => named("odd_to_even"),
        ("mul_add", 3) => {
            let (a, b) = (&arguments[0], &arguments[1]);
            Some(parse_quote!(#receiver.mul(#a, #b)))
        }
        ("select", 3) => {
            let (mask, yes, no) = (&arguments[0], &arguments[1], &arguments[2]);
            Some(parse_quote!(#receiver.select(#mask, #no, #yes)))
        }
        ("abs" | "sqrt" | "flush_denormals" | "flush_negligible", 1) => Some(arguments[0].clone()),
        ("div_ceil", 1) => {
            let divisor = &arguments[0];
            Some(parse_quote!((#receiver / #divisor)))
        }
        ("is_empty", 0) => Some(parse_quote!(!#call)),
        _ => None,
    }
}

/// The processor's own operations are functions.
fn other_intrinsic(call: &ExprCall) -> Option<Expr> {
    const PAIRS: [(&str, &str); 8] = [
        ("_add_", "_sub_"),
        ("_sub_", "_add_"),
        ("_mul_p", "_add_p"),
        ("_max_", "_min_"),
        ("_min_", "_max_"),
        ("_and_", "_or_"),
        ("_or_", "_and_"),
        ("_xor_", "_or_"),
    ];
    let Expr::Path(ExprPath { path, .. }) = &*call.func else { return None };
    let name = path.segments.last()?.ident.to_string();
    let (one, other) = PAIRS.iter().find(|(one, _)| name.starts_with("_mm") && name.contains(one))?;
    let mut path = path.clone();
    path.segments.last_mut()?.ident = Ident::new(&name.replace(one, other), Span::call_site());
    let arguments = &call.args;
    Some(parse_quote!(#path(#arguments)))
}
