package io.penstock.loader.source;

import io.penstock.loader.verify.Checksum;
import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonArray;
import io.vertx.core.json.JsonObject;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// A repository of a model hub that speaks Hugging Face's API.
///
/// A branch or tag is resolved to its commit first; listing and downloads then name the commit. Large
/// files carry their SHA-256, small ones git's own digest. Downloads are redirected to a content
/// network, by [Locations]; the token stays with the hub.
public final class HubSource implements Source {
    private static final int MAX_PAGES = 100;
    private static final Pattern NEXT_PAGE = Pattern.compile("<([^>]+)>\\s*;\\s*rel=\"next\"");

    private final RemoteHttp http;
    private final URI endpoint;
    private final Optional<String> token;
    private final String repository;
    private final String revision;
    private final String only;
    private final RedirectRule redirects;
    private final Locations locations;

    /// @param endpoint of the hub or its mirror, without a trailing slash
    /// @param token sent to the endpoint's host only
    /// @param repository `organisation/name`
    /// @param revision a branch, tag or commit, for when the caller names none
    /// @param only the one file that is the model, or with a slash at its end the folder; empty for all of
    ///     it
    public HubSource(
            RemoteHttp http, URI endpoint, Optional<String> token, String repository, String revision, String only) {
        this.http = http;
        this.endpoint = endpoint;
        this.token = token;
        this.repository = repository;
        this.revision = revision;
        this.only = only;
        this.redirects = new RedirectRule(endpoint, http.ofRedirects());
        this.locations = new Locations(http, redirects, this::request);
    }

    @Override
    public String kind() {
        return "hf";
    }

    @Override
    public Snapshot resolve(String model, String wanted) {
        String name = wanted.isEmpty() ? revision : wanted;
        URI address =
                URI.create(endpoint + "/api/models/" + path(repository) + "/revision/" + BucketFolder.encode(name));
        String commit = object(call("hf://" + repository + "@" + name, address)).getString("sha", "");
        if (!commit.matches("[0-9a-f]{40,64}")) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, "hf://%s@%s: '%s' is not a commit", repository, name, commit);
        }
        List<RemoteFile> files = list(commit);
        if (files.isEmpty()) {
            throw new PenstockException(
                    ErrorCategory.NOT_FOUND, "hf://%s@%s: nothing is named '%s' there", repository, name, only);
        }
        return new Snapshot(model, commit, files);
    }

    private List<RemoteFile> list(String commit) {
        List<RemoteFile> files = new ArrayList<>();
        URI tree = URI.create(endpoint + "/api/models/" + path(repository) + "/tree/" + commit);
        Optional<URI> page = Optional.of(URI.create(tree + "?recursive=true"));
        for (int i = 0; i < MAX_PAGES && page.isPresent(); i++) {
            HttpResponse<byte[]> answer = call("list hf://" + repository, page.get());
            JsonArray entries = array(answer);
            for (int j = 0; j < entries.size(); j++) {
                JsonObject entry = entries.getJsonObject(j);
                String path = entry.getString("path", "");
                if ("file".equals(entry.getString("type")) && isMeant(path)) {
                    files.add(file(new FileName(path.substring(folder().length())), entry));
                }
            }
            page = answer.headers().firstValue("link").flatMap(link -> nextPage(tree, link));
        }
        return files;
    }

    private boolean isMeant(String path) {
        return (only.isEmpty() || only.endsWith("/")) ? path.startsWith(only) : path.equals(only);
    }

    /// What names of the snapshot lack of a path in the repository.
    private String folder() {
        return only.substring(0, only.lastIndexOf('/') + 1);
    }

    private static RemoteFile file(FileName name, JsonObject entry) {
        JsonObject large = entry.getJsonObject("lfs");
        Checksum checksum = large == null
                ? new Checksum.GitBlob(entry.getString("oid", ""))
                : new Checksum.Sha256(large.getString("oid", "").replaceFirst("^sha256:", ""));
        return new RemoteFile(
                name,
                (large == null ? entry : large).getLong("size", -1L),
                checksum.text(),
                Optional.empty(),
                Optional.of(checksum),
                Optional.empty());
    }

    /// Of the link only the query is taken: lists come from the endpoint, whatever host a mirror's links still name.
    private static Optional<URI> nextPage(URI tree, String link) {
        Matcher matcher = NEXT_PAGE.matcher(link);
        if (!matcher.find()) {
            return Optional.empty();
        }
        try {
            return Optional.ofNullable(URI.create(matcher.group(1)).getRawQuery())
                    .map(query -> URI.create(tree + "?" + query));
        } catch (IllegalArgumentException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s: its next page has no address", tree);
        }
    }

    @Override
    public Access access(Snapshot snapshot, RemoteFile file) {
        URI address = URI.create(endpoint + "/" + path(repository) + "/resolve/" + snapshot.revision() + "/"
                + path(folder() + file.name().value()));
        return new Access.OverHttp(
                (offset, length) -> locations.range(address, offset, length, UnaryOperator.identity()));
    }

    private HttpResponse<byte[]> call(String what, URI uri) {
        return http.call(what, () -> request(uri).build());
    }

    private HttpRequest.Builder request(URI uri) {
        HttpRequest.Builder request = HttpRequest.newBuilder(uri);
        if (token.isPresent() && redirects.isHome(uri)) {
            request.header("authorization", "Bearer " + token.get());
        }
        return request;
    }

    private static JsonObject object(HttpResponse<byte[]> response) {
        try {
            return new JsonObject(text(response));
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s answered with no JSON object", response.uri());
        }
    }

    private static JsonArray array(HttpResponse<byte[]> response) {
        try {
            return new JsonArray(text(response));
        } catch (DecodeException e) {
            throw new PenstockException(ErrorCategory.CORRUPT, e, "%s answered with no JSON array", response.uri());
        }
    }

    private static String text(HttpResponse<byte[]> response) {
        return new String(response.body(), StandardCharsets.UTF_8);
    }

    private static String path(String name) {
        StringBuilder path = new StringBuilder();
        for (String segment : name.split("/", -1)) {
            path.append(path.isEmpty() ? "" : "/").append(BucketFolder.encode(segment));
        }
        return path.toString();
    }
}
