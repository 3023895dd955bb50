package io.penstock.loader.source;

import io.penstock.model.ErrorCategory;
import io.penstock.model.PenstockException;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;

/// An answer of S3's API: a root, below it texts and groups of texts. What is deeper is nothing that we ask for.
public final class S3Answer {
    private static final int TEXT_DEPTH = 2;
    private static final int GROUPED_DEPTH = 3;

    private final String what;
    private String root = "";
    private final Map<String, String> texts = new HashMap<>();
    private final Map<String, List<Map<String, String>>> groups = new HashMap<>();

    private S3Answer(String what) {
        this.what = what;
    }

    /// @param what was asked for, for the message
    /// @throws PenstockException CORRUPT when it is no such document
    public static S3Answer parse(String what, byte[] body) {
        return parse(what, new String(body, StandardCharsets.UTF_8));
    }

    static S3Answer parse(String what, String body) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false);
        factory.setProperty(XMLInputFactory.IS_SUPPORTING_EXTERNAL_ENTITIES, false);
        S3Answer answer = new S3Answer(what);
        try {
            // Some keep the connection awake with blanks until they know the answer.
            answer.read(factory.createXMLStreamReader(new StringReader(body.stripLeading())));
            return answer;
        } catch (XMLStreamException e) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, e, "%s: the answer is no XML: %s", what, RemoteHttp.describe(e));
        }
    }

    private void read(XMLStreamReader reader) throws XMLStreamException {
        int depth = 0;
        StringBuilder text = new StringBuilder();
        Map<String, String> group = new HashMap<>();
        while (reader.hasNext()) {
            switch (reader.next()) {
                case XMLStreamConstants.START_ELEMENT -> {
                    depth++;
                    text.setLength(0);
                    if (depth == 1) {
                        root = reader.getLocalName();
                    } else if (depth == TEXT_DEPTH) {
                        group = new HashMap<>();
                    }
                }
                case XMLStreamConstants.CHARACTERS, XMLStreamConstants.CDATA -> text.append(reader.getText());
                case XMLStreamConstants.END_ELEMENT -> {
                    String name = reader.getLocalName();
                    if (depth == GROUPED_DEPTH) {
                        group.put(name, text.toString());
                    } else if (depth == TEXT_DEPTH && group.isEmpty()) {
                        texts.put(name, text.toString());
                    } else if (depth == TEXT_DEPTH) {
                        groups.computeIfAbsent(name, _ -> new ArrayList<>()).add(group);
                    }
                    text.setLength(0);
                    depth--;
                }
                default -> {}
            }
        }
    }

    /// @return the name of the outermost element
    public String root() {
        return root;
    }

    /// @return the text of an element below the root, empty where there is none
    public Optional<String> text(String element) {
        return Optional.ofNullable(texts.get(element));
    }

    /// @throws PenstockException CORRUPT where there is none
    public String required(String element) {
        return text(element)
                .orElseThrow(() -> new PenstockException(
                        ErrorCategory.CORRUPT, "%s: the answer <%s> has no <%s>", what, root, element));
    }

    /// @return the texts of each group of a name, in their order
    public List<Map<String, String>> groups(String element) {
        return groups.getOrDefault(element, List.of());
    }

    /// @param group one of [#groups]
    /// @throws PenstockException CORRUPT where it is no number
    public long number(Map<String, String> group, String element) {
        try {
            return Long.parseLong(group.getOrDefault(element, "").strip());
        } catch (NumberFormatException e) {
            throw new PenstockException(
                    ErrorCategory.CORRUPT, e, "%s: <%s> is '%s', no number", what, element, group.get(element));
        }
    }
}
