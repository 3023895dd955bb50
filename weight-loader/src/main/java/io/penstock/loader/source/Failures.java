package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// What has failed on another thread, as the caller is to hear of it.
public final class Failures {
    private Failures() {}

    /// @param cause what was thrown there
    /// @param what was done, for the message
    /// @return the cause itself where it says what it means, else INTERNAL
    public static PenstockException of(Throwable cause, Object what) {
        return cause instanceof PenstockException known
                ? known
                : new PenstockException(ErrorCategory.INTERNAL, cause, "%s: %s", what, cause);
    }

    /// Small calls, some at once; the first one that fails ends all.
    ///
    /// @param most at once
    /// @return their results, in the order of the calls
    static <T> List<T> allOf(String what, int most, List<Callable<T>> calls) {
        try (ExecutorService threads =
                Executors.newFixedThreadPool(most, Thread.ofVirtual().factory())) {
            List<Future<T>> answers = calls.stream().map(threads::submit).toList();
            try {
                List<T> results = new ArrayList<>();
                for (Future<T> answer : answers) {
                    results.add(answer.get());
                }
                return results;
            } catch (ExecutionException e) {
                throw of(e.getCause(), what);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new PenstockException(ErrorCategory.UNAVAILABLE, e, "%s: stopped", what);
            } finally {
                threads.shutdownNow();
            }
        }
    }
}
