package io.penstock.gateway.fake;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/// What the gateway logs as an error while this is open: a client must not be able to cause any.
public final class LoggedErrors implements AutoCloseable {
    private final List<String> errors = new CopyOnWriteArrayList<>();
    private final Logger root = Logger.getLogger("");
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord log) {
            if (log.getLevel().intValue() >= Level.SEVERE.intValue()) {
                errors.add(log.getLoggerName() + ": " + log.getMessage() + " " + log.getThrown());
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    public LoggedErrors() {
        root.addHandler(handler);
    }

    public List<String> all() {
        return List.copyOf(errors);
    }

    @Override
    public void close() {
        root.removeHandler(handler);
    }
}
