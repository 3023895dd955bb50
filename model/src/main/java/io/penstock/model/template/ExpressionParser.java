package io.penstock.model.template;

import io.penstock.model.template.Token.Kind;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// Parses expressions by jinja2's grammar: in order of ever tighter binding, `a if b else c`, `or`, `and`, `not`,
/// comparisons, `+ -`, `~`, `* / // %`, `**`, signs, and what follows an operand.
final class ExpressionParser {
    /// Nesting of expressions and statements in a template.
    private static final int DEEPEST = 100;

    private static final Set<String> COMPARISONS = Set.of("==", "!=", "<", "<=", ">", ">=");
    private static final Map<String, Value> CONSTANTS = Map.of(
            "true", Value.TRUE,
            "True", Value.TRUE,
            "false", Value.FALSE,
            "False", Value.FALSE,
            "none", Value.NONE,
            "None", Value.NONE);

    private final List<Token> tokens;
    private int position;
    private int depth;
    /// Every name read so far.
    private Set<String> names = new HashSet<>();

    ExpressionParser(List<Token> tokens) {
        this.tokens = tokens;
    }

    Token current() {
        return tokens.get(position);
    }

    Token next() {
        Token token = current();
        // The last token is the end, and stays.
        position = Math.min(position + 1, tokens.size() - 1);
        return token;
    }

    boolean isName(String word) {
        return current().is(Kind.NAME, word);
    }

    boolean isOperator(String operator) {
        return current().is(Kind.OPERATOR, operator);
    }

    boolean skipName(String word) {
        boolean here = isName(word);
        if (here) {
            next();
        }
        return here;
    }

    boolean skipOperator(String operator) {
        boolean here = isOperator(operator);
        if (here) {
            next();
        }
        return here;
    }

    void expectOperator(String operator) {
        if (!skipOperator(operator)) {
            throw failure("expected '" + operator + "', got " + current().described());
        }
    }

    String expectName() {
        if (current().kind() != Kind.NAME) {
            throw failure("expected a name, got " + current().described());
        }
        return next().text();
    }

    TemplateException failure(String what) {
        return new TemplateException("chat template, line %d: %s", current().line(), what);
    }

    void enter() {
        if (++depth > DEEPEST) {
            throw failure("nested more than " + DEEPEST + " deep");
        }
    }

    void leave() {
        depth--;
    }

    /// Starts a fresh set of the names that are read, until [#namesSince] gives the old one back its place.
    Set<String> freshNames() {
        Set<String> outer = names;
        names = new HashSet<>();
        return outer;
    }

    Set<String> namesSince(Set<String> outer) {
        Set<String> inner = names;
        outer.addAll(inner);
        names = outer;
        return inner;
    }

    /// One expression, or several with commas between: then a tuple.
    Expression tuple(boolean conditional, Set<String> endNames, boolean parentheses) {
        List<Expression> items = new ArrayList<>();
        boolean tuple = false;
        while (true) {
            if (isTupleEnd(endNames)) {
                break;
            }
            items.add(conditional ? expression() : or());
            if (!skipOperator(",")) {
                break;
            }
            tuple = true;
        }
        if (!tuple && !items.isEmpty()) {
            return items.getFirst();
        }
        if (items.isEmpty() && !parentheses) {
            throw failure("expected an expression, got " + current().described());
        }
        return new Expression.ListOf(items, true);
    }

    private boolean isTupleEnd(Set<String> endNames) {
        return current().kind() == Kind.VARIABLE_END
                || current().kind() == Kind.BLOCK_END
                || isOperator(")")
                || (current().kind() == Kind.NAME && endNames.contains(current().text()));
    }

    Expression expression() {
        enter();
        Expression value = or();
        while (skipName("if")) {
            Expression condition = or();
            Optional<Expression> otherwise = skipName("else") ? Optional.of(expression()) : Optional.empty();
            value = new Expression.Conditional(condition, value, otherwise);
        }
        leave();
        return value;
    }

    private Expression or() {
        Expression left = and();
        while (skipName("or")) {
            left = new Expression.Or(left, and());
        }
        return left;
    }

    private Expression and() {
        Expression left = not();
        while (skipName("and")) {
            left = new Expression.And(left, not());
        }
        return left;
    }

    private Expression not() {
        if (!skipName("not")) {
            return comparison();
        }
        enter();
        Expression operand = not();
        leave();
        return new Expression.Not(operand);
    }

    private Expression comparison() {
        Expression first = sum();
        List<Map.Entry<String, Expression>> others = new ArrayList<>();
        while (true) {
            String operator;
            if (current().kind() == Kind.OPERATOR
                    && COMPARISONS.contains(current().text())) {
                operator = next().text();
            } else if (skipName("in")) {
                operator = "in";
            } else if (isName("not") && tokens.get(position + 1).is(Kind.NAME, "in")) {
                next();
                next();
                operator = "not in";
            } else {
                break;
            }
            others.add(Map.entry(operator, sum()));
        }
        return others.isEmpty() ? first : new Expression.Comparison(first, others);
    }

    private Expression sum() {
        Expression left = concatenation();
        while (isOperator("+") || isOperator("-")) {
            left = new Expression.Arithmetic(next().text(), left, concatenation());
        }
        return left;
    }

    private Expression concatenation() {
        List<Expression> parts = new ArrayList<>(List.of(product()));
        while (skipOperator("~")) {
            parts.add(product());
        }
        return parts.size() == 1 ? parts.getFirst() : new Expression.Concatenation(parts);
    }

    private Expression product() {
        Expression left = power();
        while (isOperator("*") || isOperator("/") || isOperator("//") || isOperator("%")) {
            left = new Expression.Arithmetic(next().text(), left, power());
        }
        return left;
    }

    private Expression power() {
        Expression left = signed(true);
        while (skipOperator("**")) {
            left = new Expression.Arithmetic("**", left, signed(true));
        }
        return left;
    }

    private Expression signed(boolean filters) {
        enter();
        Expression value;
        if (skipOperator("-")) {
            value = new Expression.Negative(signed(false));
        } else if (skipOperator("+")) {
            value = new Expression.Positive(signed(false));
        } else {
            value = primary();
        }
        value = postfix(value);
        leave();
        return filters ? filters(value) : value;
    }

    private Expression primary() {
        Token token = next();
        return switch (token.kind()) {
            case NAME -> {
                Value constant = CONSTANTS.get(token.text());
                if (constant != null) {
                    yield new Expression.Constant(constant);
                }
                names.add(token.text());
                yield new Expression.Name(token.text());
            }
            case STRING -> {
                StringBuilder text = new StringBuilder(token.text());
                while (current().kind() == Kind.STRING) {
                    text.append(next().text());
                }
                yield new Expression.Constant(Text.own(text.toString()));
            }
            case INTEGER -> new Expression.Constant(integer(token));
            case FLOAT -> new Expression.Constant(new Value.Real(Double.parseDouble(token.text())));
            case OPERATOR -> bracketed(token);
            case DATA, BLOCK_BEGIN, BLOCK_END, VARIABLE_BEGIN, VARIABLE_END, END -> throw unexpected(token);
        };
    }

    private Value integer(Token token) {
        try {
            String digits = token.text().toLowerCase(java.util.Locale.ROOT);
            return Value.of(
                    digits.startsWith("0x")
                            ? Long.parseLong(digits.substring(2), 16)
                            : digits.startsWith("0o")
                                    ? Long.parseLong(digits.substring(2), 8)
                                    : digits.startsWith("0b")
                                            ? Long.parseLong(digits.substring(2), 2)
                                            : Long.parseLong(digits));
        } catch (NumberFormatException e) {
            throw failure("integer " + token.text() + " is not supported");
        }
    }

    private Expression bracketed(Token open) {
        return switch (open.text()) {
            case "(" -> {
                Expression inner = tuple(true, Set.of(), true);
                expectOperator(")");
                yield inner;
            }
            case "[" -> {
                List<Expression> items = new ArrayList<>();
                while (!isOperator("]")) {
                    items.add(expression());
                    if (!skipOperator(",")) {
                        break;
                    }
                }
                expectOperator("]");
                yield new Expression.ListOf(items, false);
            }
            case "{" -> {
                List<Map.Entry<Expression, Expression>> entries = new ArrayList<>();
                while (!isOperator("}")) {
                    Expression key = expression();
                    expectOperator(":");
                    entries.add(Map.entry(key, expression()));
                    if (!skipOperator(",")) {
                        break;
                    }
                }
                expectOperator("}");
                yield new Expression.MapOf(entries);
            }
            default -> throw unexpected(open);
        };
    }

    private TemplateException unexpected(Token token) {
        return new TemplateException("chat template, line %d: unexpected %s", token.line(), token.described());
    }

    private Expression postfix(Expression start) {
        Expression value = start;
        while (true) {
            if (skipOperator(".")) {
                Token name = next();
                value = switch (name.kind()) {
                    case NAME -> new Expression.Attribute(value, name.text());
                    case INTEGER -> new Expression.Item(value, new Expression.Constant(integer(name)));
                    case DATA, BLOCK_BEGIN, BLOCK_END, VARIABLE_BEGIN, VARIABLE_END, STRING, FLOAT, OPERATOR, END ->
                        throw unexpected(name);
                };
            } else if (skipOperator("[")) {
                value = subscript(value);
            } else if (isOperator("(")) {
                value = new Expression.Call(value, parameters());
            } else {
                return value;
            }
        }
    }

    private Expression subscript(Expression object) {
        Optional<Expression> first = isOperator(":") ? Optional.empty() : Optional.of(expression());
        if (!isOperator(":")) {
            List<Expression> keys = new ArrayList<>(List.of(first.orElseThrow()));
            while (skipOperator(",")) {
                keys.add(expression());
            }
            expectOperator("]");
            return new Expression.Item(object, keys.size() == 1 ? keys.getFirst() : new Expression.ListOf(keys, true));
        }
        next();
        Optional<Expression> stop = isOperator(":") || isOperator("]") ? Optional.empty() : Optional.of(expression());
        Optional<Expression> step = Optional.empty();
        if (skipOperator(":") && !isOperator("]")) {
            step = Optional.of(expression());
        }
        expectOperator("]");
        return new Expression.Slice(object, first, stop, step);
    }

    Expression.Parameters parameters() {
        expectOperator("(");
        List<Expression> positional = new ArrayList<>();
        Map<String, Expression> named = new LinkedHashMap<>();
        Optional<Expression> unpacked = Optional.empty();
        Optional<Expression> unpackedNamed = Optional.empty();
        while (!isOperator(")")) {
            if (skipOperator("**")) {
                unpackedNamed = Optional.of(expression());
            } else if (skipOperator("*")) {
                unpacked = Optional.of(expression());
            } else if (current().kind() == Kind.NAME && tokens.get(position + 1).is(Kind.OPERATOR, "=")) {
                String name = next().text();
                next();
                named.put(name, expression());
            } else if (named.isEmpty() && unpacked.isEmpty() && unpackedNamed.isEmpty()) {
                positional.add(expression());
            } else {
                throw failure("invalid syntax for function call expression");
            }
            if (!skipOperator(",")) {
                break;
            }
        }
        expectOperator(")");
        return new Expression.Parameters(positional, named, unpacked, unpackedNamed);
    }

    private Expression filters(Expression start) {
        Expression value = start;
        while (true) {
            if (isOperator("|")) {
                value = filter(value);
            } else if (skipName("is")) {
                value = test(value);
            } else if (isOperator("(")) {
                value = new Expression.Call(value, parameters());
            } else {
                return value;
            }
        }
    }

    Expression.Filter filter(Expression input) {
        expectOperator("|");
        return filterAfterBar(input);
    }

    Expression.Filter filterAfterBar(Expression input) {
        String name = dotted();
        return new Expression.Filter(input, name, isOperator("(") ? parameters() : Expression.Parameters.NONE);
    }

    private Expression test(Expression input) {
        boolean negated = skipName("not");
        String name = dotted();
        Expression.Parameters parameters = Expression.Parameters.NONE;
        if (isOperator("(")) {
            parameters = parameters();
        } else if (startsTestArgument()) {
            if (isName("is")) {
                throw failure("You cannot chain multiple tests with is");
            }
            enter();
            parameters = new Expression.Parameters(
                    List.of(postfix(primary())), Map.of(), Optional.empty(), Optional.empty());
            leave();
        }
        return new Expression.Test(input, name, parameters, negated);
    }

    private boolean startsTestArgument() {
        return switch (current().kind()) {
            case NAME -> !isName("else") && !isName("or") && !isName("and");
            case STRING, INTEGER, FLOAT -> true;
            case OPERATOR -> isOperator("[") || isOperator("{");
            case DATA, BLOCK_BEGIN, BLOCK_END, VARIABLE_BEGIN, VARIABLE_END, END -> false;
        };
    }

    private String dotted() {
        StringBuilder name = new StringBuilder(expectName());
        while (skipOperator(".")) {
            name.append('.').append(expectName());
        }
        return name.toString();
    }

    /// A name, or several with commas between, perhaps in parentheses; for `set`, also a namespace's attribute.
    Statement.Target target(boolean withNamespace) {
        List<Statement.Target> targets = new ArrayList<>();
        boolean tuple = false;
        do {
            if (!targets.isEmpty() && (isName("in") || isOperator("="))) {
                break;
            }
            targets.add(singleTarget(withNamespace));
            tuple |= isOperator(",");
        } while (skipOperator(","));
        return tuple ? new Statement.Target.Tuple(targets) : targets.getFirst();
    }

    private Statement.Target singleTarget(boolean withNamespace) {
        if (skipOperator("(")) {
            enter();
            Statement.Target inner = target(withNamespace);
            leave();
            expectOperator(")");
            return inner;
        }
        String name = expectName();
        if (CONSTANTS.containsKey(name)) {
            throw failure("can't assign to '" + name + "'");
        }
        if (withNamespace && skipOperator(".")) {
            return new Statement.Target.Attribute(name, expectName());
        }
        return new Statement.Target.Name(name);
    }
}
