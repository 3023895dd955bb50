package io.penstock.model.template;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// One rendering of a template: executes its statements.
final class Rendering {
    /// How a body was left.
    private enum Exit {
        END,
        BREAK,
        CONTINUE
    }

    private final Budget budget = new Budget();
    private final Evaluator evaluator = new Evaluator(budget);

    Text render(List<Statement> statements, Scope scope) {
        Text.Builder out = new Text.Builder();
        execute(statements, scope, out);
        return out.build();
    }

    private Exit execute(List<Statement> statements, Scope scope, Text.Builder out) {
        for (Statement statement : statements) {
            Exit exit = execute(statement, scope, out);
            if (exit != Exit.END) {
                return exit;
            }
        }
        return Exit.END;
    }

    private Exit execute(Statement statement, Scope scope, Text.Builder out) {
        budget.enter();
        Exit exit = switch (statement) {
            case Statement.Data(Text text) -> print(text, out);
            case Statement.Print(Expression expression) ->
                print(Spelling.text(evaluator.evaluate(expression, scope)), out);
            case Statement.If(Expression condition, List<Statement> then, List<Statement> otherwise) ->
                execute(Operators.isTrue(evaluator.evaluate(condition, scope)) ? then : otherwise, scope, out);
            case Statement.For loop -> loop(loop, scope, out);
            case Statement.Assign(Statement.Target target, Expression value) ->
                assign(target, evaluator.evaluate(value, scope), scope);
            case Statement.AssignBlock(
                    Statement.Target target,
                    List<Expression.Filter> filters,
                    List<Statement> body) -> assign(target, filtered(filters, body, scope), scope);
            case Statement.FilterBlock(List<Expression.Filter> filters, List<Statement> body) ->
                print(Spelling.text(filtered(filters, body, scope)), out);
            case Statement.Define(Statement.Macro macro) -> {
                scope.set(macro.name(), callable(macro, scope));
                yield Exit.END;
            }
            case Statement.CallBlock(Expression.Call call, Statement.Macro caller) -> call(call, caller, scope, out);
            case Statement.With(List<Statement.Target> targets, List<Expression> values, List<Statement> body) -> {
                Scope inner = new Scope(scope);
                for (int index = 0; index < targets.size(); index++) {
                    assign(targets.get(index), evaluator.evaluate(values.get(index), scope), inner);
                }
                yield execute(body, inner, out);
            }
            case Statement.Scoped(List<Statement> body) -> execute(body, new Scope(scope), out);
            case Statement.Break() -> Exit.BREAK;
            case Statement.Continue() -> Exit.CONTINUE;
        };
        budget.leave();
        return exit;
    }

    private Exit print(Text text, Text.Builder out) {
        budget.pay(text);
        out.append(text);
        return Exit.END;
    }

    private Value filtered(List<Expression.Filter> filters, List<Statement> body, Scope scope) {
        Text.Builder printed = new Text.Builder();
        execute(body, new Scope(scope), printed);
        Value value = printed.build();
        for (Expression.Filter filter : filters) {
            value = Filters.apply(filter.name(), value, evaluator.arguments(filter.parameters(), scope));
        }
        return value;
    }

    private Exit loop(Statement.For statement, Scope scope, Text.Builder out) {
        List<Value> items = Operators.iterate(evaluator.evaluate(statement.items(), scope));
        if (statement.condition().isPresent()) {
            List<Value> kept = new ArrayList<>();
            for (Value item : items) {
                Scope inner = new Scope(scope);
                assign(statement.target(), item, inner);
                if (Operators.isTrue(evaluator.evaluate(statement.condition().get(), inner))) {
                    kept.add(item);
                }
            }
            items = kept;
        }
        if (items.isEmpty()) {
            return execute(statement.otherwise(), new Scope(scope), out);
        }
        Loop loop = new Loop(items);
        while (loop.advance()) {
            budget.pay(1);
            Scope inner = new Scope(scope);
            inner.set("loop", loop);
            assign(statement.target(), loop.current(), inner);
            if (execute(statement.body(), inner, out) == Exit.BREAK) {
                break;
            }
        }
        return Exit.END;
    }

    private Exit assign(Statement.Target target, Value value, Scope scope) {
        switch (target) {
            case Statement.Target.Name(String name) -> scope.set(name, value);
            case Statement.Target.Attribute(String namespace, String name) -> {
                if (!(scope.get(namespace) instanceof Value.Namespace(Map<String, Value> attributes))) {
                    throw new TemplateException("cannot assign attribute on non-namespace object");
                }
                attributes.put(Globals.attribute(name), value);
            }
            case Statement.Target.Tuple(List<Statement.Target> targets) -> {
                List<Value> values = Operators.iterate(value);
                if (values.size() != targets.size()) {
                    throw new TemplateException("%d values to unpack, %d expected", values.size(), targets.size());
                }
                for (int index = 0; index < targets.size(); index++) {
                    assign(targets.get(index), values.get(index), scope);
                }
            }
        }
        return Exit.END;
    }

    private Value.Callable callable(Statement.Macro macro, Scope scope) {
        return new Value.Callable(macro.name(), given -> {
            budget.enter();
            Scope inner = new Scope(scope);
            bind(macro, given, inner);
            Text.Builder out = new Text.Builder();
            execute(macro.body(), inner, out);
            budget.leave();
            return out.build();
        });
    }

    private void bind(Statement.Macro macro, Arguments given, Scope inner) {
        List<String> parameters = macro.parameters();
        int required = parameters.size() - macro.defaults().size();
        Map<String, Value> rest = new LinkedHashMap<>(given.named());
        Value caller = rest.remove("caller");
        for (int index = 0; index < parameters.size(); index++) {
            String name = parameters.get(index);
            boolean positional = index < given.positional().size();
            Value named = rest.remove(name);
            if (positional && named != null) {
                throw new TemplateException("macro '%s' got multiple values for argument '%s'", macro.name(), name);
            }
            Value value = positional ? given.positional().get(index) : named;
            if (value == null) {
                value = index >= required
                        ? evaluator.evaluate(macro.defaults().get(index - required), inner)
                        : new Value.Undefined("parameter '" + name + "' was not provided");
            }
            inner.set(name, value);
        }
        if (macro.takesCaller()) {
            inner.set("caller", caller == null ? new Value.Undefined("No caller defined") : caller);
        } else if (caller != null) {
            rest.put("caller", caller);
        }
        if (macro.takesNamed()) {
            Map<Value, Value> entries = new LinkedHashMap<>();
            rest.forEach((name, value) -> entries.put(Text.own(name), value));
            inner.set("kwargs", new Value.Mapping(entries));
        } else if (!rest.isEmpty()) {
            throw new TemplateException("macro '%s' takes no keyword argument %s", macro.name(), rest.keySet());
        }
        if (macro.takesRest()) {
            inner.set(
                    "varargs", new Value.Sequence(given.rest(parameters.size()).positional(), true));
        } else if (given.positional().size() > parameters.size()) {
            throw new TemplateException(
                    "macro '%s' takes not more than %d argument(s)", macro.name(), parameters.size());
        }
    }

    private Exit call(Expression.Call call, Statement.Macro caller, Scope scope, Text.Builder out) {
        Arguments given = evaluator.arguments(call.parameters(), scope);
        Map<String, Value> named = new LinkedHashMap<>(given.named());
        named.put("caller", callable(caller, scope));
        Value callee = evaluator.evaluate(call.callee(), scope);
        Value printed = evaluator.call(callee, new Arguments(given.positional(), named));
        return print(Spelling.text(printed), out);
    }
}
