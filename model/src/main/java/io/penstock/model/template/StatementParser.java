package io.penstock.model.template;

import io.penstock.model.template.Token.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/// Parses a template into statements.
final class StatementParser {
    private final ExpressionParser expressions;

    private StatementParser(List<Token> tokens) {
        expressions = new ExpressionParser(tokens);
    }

    static List<Statement> parse(String template) {
        StatementParser parser = new StatementParser(Lexer.tokens(template));
        List<Statement> statements = parser.body(Set.of());
        if (parser.expressions.current().kind() != Kind.END) {
            throw parser.expressions.failure(
                    "unexpected " + parser.expressions.current().described());
        }
        return statements;
    }

    /// Statements up to a tag of one of these names, whose begin is read and whose name is then the current token.
    private List<Statement> body(Set<String> ends) {
        expressions.enter();
        List<Statement> statements = new ArrayList<>();
        while (expressions.current().kind() != Kind.END) {
            Token token = expressions.next();
            switch (token.kind()) {
                case DATA -> statements.add(new Statement.Data(Text.own(token.text())));
                case VARIABLE_BEGIN -> {
                    statements.add(new Statement.Print(expressions.tuple(true, Set.of(), false)));
                    end(Kind.VARIABLE_END);
                }
                case BLOCK_BEGIN -> {
                    if (expressions.current().kind() == Kind.NAME
                            && ends.contains(expressions.current().text())) {
                        expressions.leave();
                        return statements;
                    }
                    statements.add(statement());
                    end(Kind.BLOCK_END);
                }
                case BLOCK_END, VARIABLE_END, NAME, STRING, INTEGER, FLOAT, OPERATOR, END ->
                    throw expressions.failure("unexpected " + token.described());
            }
        }
        if (!ends.isEmpty()) {
            throw expressions.failure("unexpected end of template; one of these tags is looked for: " + ends);
        }
        expressions.leave();
        return statements;
    }

    /// The same, with the end tag's name read too.
    private List<Statement> closedBody(String end) {
        List<Statement> body = openBody(Set.of(end));
        expressions.next();
        return body;
    }

    /// A body after the end of the tag that opens it.
    private List<Statement> openBody(Set<String> ends) {
        // jinja2 lets a colon end such a tag.
        expressions.skipOperator(":");
        end(Kind.BLOCK_END);
        return body(ends);
    }

    private void end(Kind kind) {
        if (expressions.current().kind() != kind) {
            throw expressions.failure("expected " + (kind == Kind.BLOCK_END ? "'%}'" : "'}}'") + ", got "
                    + expressions.current().described());
        }
        expressions.next();
    }

    private Statement statement() {
        String tag = expressions.expectName();
        return switch (tag) {
            case "if" -> condition();
            case "for" -> loop();
            case "set" -> assignment();
            case "macro" -> new Statement.Define(macro(expressions.expectName(), "endmacro"));
            case "call" -> callBlock();
            case "filter" -> {
                List<Expression.Filter> filters = new ArrayList<>();
                filters.add(expressions.filterAfterBar(new Expression.Constant(Value.NONE)));
                filters.addAll(filters());
                yield new Statement.FilterBlock(filters, closedBody("endfilter"));
            }
            case "with" -> with();
            case "generation" -> new Statement.Scoped(closedBody("endgeneration"));
            case "break" -> new Statement.Break();
            case "continue" -> new Statement.Continue();
            case "print" -> print();
            default -> throw expressions.failure("unknown or unsupported tag '" + tag + "'");
        };
    }

    private Statement print() {
        List<Expression> parts = new ArrayList<>();
        do {
            parts.add(expressions.expression());
        } while (expressions.skipOperator(","));
        return new Statement.Print(new Expression.Concatenation(parts));
    }

    /// After `if` or `elif`.
    private Statement condition() {
        Expression condition = expressions.tuple(false, Set.of(), false);
        List<Statement> then = openBody(Set.of("elif", "else", "endif"));
        String end = expressions.next().text();
        List<Statement> otherwise = switch (end) {
            case "elif" -> {
                expressions.enter();
                List<Statement> nested = List.of(condition());
                expressions.leave();
                yield nested;
            }
            case "else" -> closedBody("endif");
            default -> List.of();
        };
        return new Statement.If(condition, then, otherwise);
    }

    private Statement loop() {
        Statement.Target target = expressions.target(false);
        if (!expressions.skipName("in")) {
            throw expressions.failure(
                    "expected 'in', got " + expressions.current().described());
        }
        Expression items = expressions.tuple(false, Set.of("recursive"), false);
        Optional<Expression> condition =
                expressions.skipName("if") ? Optional.of(expressions.expression()) : Optional.empty();
        if (expressions.isName("recursive")) {
            throw expressions.failure("recursive loops are not supported");
        }
        List<Statement> body = openBody(Set.of("else", "endfor"));
        boolean hasElse = expressions.next().text().equals("else");
        return new Statement.For(target, items, condition, body, hasElse ? closedBody("endfor") : List.of());
    }

    private Statement assignment() {
        Statement.Target target = expressions.target(true);
        if (expressions.skipOperator("=")) {
            return new Statement.Assign(target, expressions.tuple(true, Set.of(), false));
        }
        List<Expression.Filter> filters = filters();
        return new Statement.AssignBlock(target, filters, closedBody("endset"));
    }

    private List<Expression.Filter> filters() {
        List<Expression.Filter> filters = new ArrayList<>();
        while (expressions.isOperator("|")) {
            filters.add(expressions.filter(new Expression.Constant(Value.NONE)));
        }
        return filters;
    }

    /// After the name, or after `call`: parameters, if any, and the body.
    private Statement.Macro macro(String name, String end) {
        List<String> parameters = new ArrayList<>();
        List<Expression> defaults = new ArrayList<>();
        if (end.equals("endmacro") || expressions.isOperator("(")) {
            expressions.expectOperator("(");
            while (!expressions.isOperator(")")) {
                parameters.add(expressions.expectName());
                if (expressions.skipOperator("=")) {
                    defaults.add(expressions.expression());
                } else if (!defaults.isEmpty()) {
                    throw expressions.failure("non-default argument follows default argument");
                }
                if (!expressions.skipOperator(",")) {
                    break;
                }
            }
            expressions.expectOperator(")");
        }
        if (!end.equals("endmacro")) {
            return new Statement.Macro(name, parameters, defaults, List.of(), false, false, false);
        }
        return finish(new Statement.Macro(name, parameters, defaults, List.of(), false, false, false), end);
    }

    private Statement.Macro finish(Statement.Macro head, String end) {
        Set<String> outer = expressions.freshNames();
        List<Statement> body = closedBody(end);
        Set<String> names = expressions.namesSince(outer);
        return new Statement.Macro(
                head.name(),
                head.parameters(),
                head.defaults(),
                body,
                names.contains("varargs"),
                names.contains("kwargs"),
                names.contains("caller"));
    }

    private Statement callBlock() {
        Statement.Macro caller = macro("caller", "endcall");
        if (!(expressions.expression() instanceof Expression.Call call)) {
            throw expressions.failure("expected call");
        }
        return new Statement.CallBlock(call, finish(caller, "endcall"));
    }

    private Statement with() {
        List<Statement.Target> targets = new ArrayList<>();
        List<Expression> values = new ArrayList<>();
        while (expressions.current().kind() == Kind.NAME) {
            targets.add(new Statement.Target.Name(expressions.expectName()));
            expressions.expectOperator("=");
            values.add(expressions.expression());
            if (!expressions.skipOperator(",")) {
                break;
            }
        }
        return new Statement.With(targets, values, closedBody("endwith"));
    }
}
