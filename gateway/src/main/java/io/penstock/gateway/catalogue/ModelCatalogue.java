package io.penstock.gateway.catalogue;

import io.penstock.api.inference.GroupStatus;
import io.penstock.gateway.access.UnservableException;
import io.penstock.gateway.config.GatewayConfig;
import io.penstock.gateway.dispatch.Schedulers;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.penstock.model.answer.AnswerFormat;
import io.penstock.model.template.ChatFormat;
import io.smallrye.faulttolerance.api.Guard;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.enterprise.event.Observes;
import jakarta.inject.Inject;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.jboss.logging.Logger;

/// The models that schedulers report, each with its tokenizer and template, read once a revision. A model stays known
/// while its schedulers are away: requests for it are then told to come back, not that there is no such model.
@ApplicationScoped
public class ModelCatalogue {
    private static final Logger LOG = Logger.getLogger(ModelCatalogue.class);
    private static final int FIRST_RETRY_MILLIS = 250;
    private static final int LONGEST_RETRY_MILLIS = 10_000;
    private static final int JITTER_MILLIS = 50;

    private record Key(String model, String revision) {}

    private static final int LONGEST_TOLD = 100;

    private final GatewayConfig config;
    private final Schedulers schedulers;
    private final TextSource texts;
    private final Map<String, ServedModel> models = new ConcurrentHashMap<>();
    private final Map<Key, Thread> readers = new ConcurrentHashMap<>();
    // Why the text of a model cannot be had as its files are, whoever asks; asked for again all the same.
    private final Map<Key, String> unreadable = new ConcurrentHashMap<>();
    private final Guard patience = Guard.create()
            .withDescription("reading of a model's tokenizer")
            .withRetry()
            .retryOn(PenstockException.class)
            .maxRetries(-1)
            .maxDuration(0, ChronoUnit.MILLIS)
            .delay(FIRST_RETRY_MILLIS, ChronoUnit.MILLIS)
            .jitter(JITTER_MILLIS, ChronoUnit.MILLIS)
            .withExponentialBackoff()
            .maxDelay(LONGEST_RETRY_MILLIS, ChronoUnit.MILLIS)
            .done()
            .done()
            .build();

    @Inject
    public ModelCatalogue(GatewayConfig config, Schedulers schedulers, TextSource texts) {
        this.config = config;
        this.schedulers = schedulers;
        this.texts = texts;
    }

    /// @throws UnservableException if its tokenizer cannot be had as its files are
    /// @throws PenstockException (not found) if no scheduler ever reported it, (unavailable) if none has
    ///     reported any
    public ServedModel get(String name) {
        ServedModel model = models.get(name);
        if (model != null) {
            return model;
        }
        String reason = unreadable().get(name);
        if (reason != null) {
            throw new UnservableException(reason);
        }
        boolean coming = models.isEmpty()
                || schedulers.groups().stream()
                        .anyMatch(group -> group.getModel().equals(name));
        if (coming) {
            throw new PenstockException(ErrorCategory.UNAVAILABLE, "no model is ready yet");
        }
        throw unknown(name);
    }

    /// What a caller is told of a name that is none. Names from outside may be as long as a body.
    public static PenstockException unknown(String name) {
        String told = name.length() <= LONGEST_TOLD ? name : name.substring(0, LONGEST_TOLD) + "...";
        return new PenstockException(ErrorCategory.NOT_FOUND, "The model `%s` does not exist.", told);
    }

    /// Reasons by the names of models whose tokenizers cannot be had as their files are.
    public Map<String, String> unreadable() {
        Map<String, String> reasons = new TreeMap<>();
        unreadable.forEach((key, reason) -> reasons.put(key.model(), reason));
        return reasons;
    }

    /// By name.
    public List<ServedModel> all() {
        return models.values().stream()
                .sorted(Comparator.comparing(ServedModel::name))
                .toList();
    }

    /// Whether at least one request could be answered now.
    public boolean ready() {
        return models.values().stream().anyMatch(model -> schedulers.serves(model.name(), model.revision()));
    }

    // Runs where the status arrived, so it must not read anything itself.
    void learn(@Observes Schedulers.Changed change) {
        for (GroupStatus group : schedulers.groups()) {
            if (group.getContextLength() > 0 && !known(group)) {
                readers.computeIfAbsent(
                        new Key(group.getModel(), group.getRevision()),
                        key -> Thread.ofVirtual().name("text of " + key.model()).start(() -> read(key)));
            }
        }
    }

    private boolean known(GroupStatus group) {
        ServedModel model = models.get(group.getModel());
        return model != null && model.revision().equals(group.getRevision());
    }

    private void read(Key key) {
        try {
            patience.call(() -> tryToRead(key), Void.class);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (Exception e) {
            LOG.errorf(e, "tokenizer of %s %s cannot be used", key.model(), key.revision());
        } finally {
            readers.remove(key);
        }
    }

    /// @return null
    private Void tryToRead(Key key) {
        int contextLength = reportedContext(key);
        if (contextLength == 0) {
            unreadable.remove(key);
            return null;
        }
        ChatFormat text;
        try {
            text = configured(texts.read(key.model(), key.revision()));
        } catch (PenstockException e) {
            LOG.warnf(
                    "tokenizer of %s %s cannot be read, trying again: %s", key.model(), key.revision(), e.getMessage());
            if (e.category() == ErrorCategory.CORRUPT) {
                unreadable.put(key, e.getMessage());
            }
            throw e;
        }
        unreadable.remove(key);
        models.put(
                key.model(),
                ServedModel.of(
                        key.model(),
                        key.revision(),
                        contextLength,
                        Instant.now().getEpochSecond(),
                        text));
        LOG.infof(
                "model %s %s: tokenizer of %d tokens, %s, context %d",
                key.model(),
                key.revision(),
                text.tokenizer().vocabularySize(),
                text.template().isPresent() ? "chat template" : "no chat template",
                contextLength);
        return null;
    }

    private ChatFormat configured(ChatFormat text) {
        AnswerFormat told = text.answers();
        return new ChatFormat(
                text.tokenizer(),
                text.template(),
                text.tokens(),
                new AnswerFormat(
                        config.reasoningParser().reasoning(told.reasoning()),
                        config.toolCallParser().calls(told.calls())));
    }

    /// @return 0 if no scheduler reports it any more
    private int reportedContext(Key key) {
        return schedulers.groups().stream()
                .filter(group -> group.getModel().equals(key.model()))
                .filter(group -> group.getRevision().equals(key.revision()))
                .mapToInt(GroupStatus::getContextLength)
                .max()
                .orElse(0);
    }
}
