package io.penstock.model.template;

import io.penstock.model.tokenizer.PromptText;
import java.time.Clock;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;

/// A chat template in Jinja, rendered by an interpreter of our own: the language of jinja2 3.1 as transformers sets it
/// up, without includes, inheritance and recursive loops.
///
/// Values are strings with the origin of each of their characters, and plain data; there is no way from a template to
/// Java, nor from a message to the template. Steps, depth and sizes are bounded.
public final class JinjaTemplate implements ChatTemplate {
    /// Variables whose name ends so are the model's own tokens; the text of all others came with the request.
    private static final String TOKEN = "_token";

    private static final int LONGEST = 1 << 20;

    private final List<Statement> statements;
    private final Clock clock;

    private JinjaTemplate(List<Statement> statements, Clock clock) {
        this.statements = statements;
        this.clock = clock;
    }

    /// @throws io.penstock.model.PenstockException (bad input) naming the line that is no Jinja, or asks for more than
    /// is
    ///     done here
    public static JinjaTemplate parse(String template) {
        return parse(template, Clock.system(ZoneId.systemDefault()));
    }

    /// @param clock that `strftime_now` reads
    static JinjaTemplate parse(String template, Clock clock) {
        if (template.length() > LONGEST) {
            throw new TemplateException(
                    "chat template of %d characters is over the limit of %d", template.length(), LONGEST);
        }
        return new JinjaTemplate(StatementParser.parse(template), clock);
    }

    @Override
    public PromptText render(Map<String, Object> variables) {
        Scope globals = new Scope(null);
        Globals.define(globals, clock);
        Scope given = new Scope(globals);
        variables.forEach((name, value) -> given.set(name, Value.of(value, name.endsWith(TOKEN))));
        return new Rendering().render(statements, new Scope(given)).prompt();
    }
}
