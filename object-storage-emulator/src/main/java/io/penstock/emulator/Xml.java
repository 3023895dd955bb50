package io.penstock.emulator;

import java.io.StringReader;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.xml.stream.XMLInputFactory;
import javax.xml.stream.XMLOutputFactory;
import javax.xml.stream.XMLStreamConstants;
import javax.xml.stream.XMLStreamException;
import javax.xml.stream.XMLStreamReader;
import javax.xml.stream.XMLStreamWriter;

/// A document of S3's API, written from its beginning to its end.
final class Xml {
    private static final String NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/";

    private final StringWriter text = new StringWriter();
    private final XMLStreamWriter writer;

    Xml(String root) {
        try {
            writer = XMLOutputFactory.newDefaultFactory().createXMLStreamWriter(text);
            writer.writeStartDocument("UTF-8", "1.0");
            writer.writeStartElement(root);
            // Errors are in no namespace.
            if (!root.equals("Error")) {
                writer.writeDefaultNamespace(NAMESPACE);
            }
        } catch (XMLStreamException e) {
            throw new IllegalStateException(e);
        }
    }

    Xml text(String element, Object value) {
        try {
            writer.writeStartElement(element);
            writer.writeCharacters(String.valueOf(value));
            writer.writeEndElement();
            return this;
        } catch (XMLStreamException e) {
            throw new IllegalStateException(e);
        }
    }

    /// @param values names and values of the elements within, by turns
    Xml group(String element, Object... values) {
        try {
            writer.writeStartElement(element);
            for (int i = 0; i < values.length; i += 2) {
                text(String.valueOf(values[i]), values[i + 1]);
            }
            writer.writeEndElement();
            return this;
        } catch (XMLStreamException e) {
            throw new IllegalStateException(e);
        }
    }

    String end() {
        try {
            writer.writeEndDocument();
            writer.close();
            return text.toString();
        } catch (XMLStreamException e) {
            throw new IllegalStateException(e);
        }
    }

    /// The texts within each element of a name.
    ///
    /// @return of each their names and what they hold
    static List<Map<String, String>> groups(String document, String element) {
        XMLInputFactory factory = XMLInputFactory.newDefaultFactory();
        factory.setProperty(XMLInputFactory.SUPPORT_DTD, false);
        try {
            XMLStreamReader reader = factory.createXMLStreamReader(new StringReader(document));
            List<Map<String, String>> groups = new ArrayList<>();
            boolean within = false;
            while (reader.hasNext()) {
                int event = reader.next();
                if (event == XMLStreamConstants.START_ELEMENT
                        && reader.getLocalName().equals(element)) {
                    groups.add(new LinkedHashMap<>());
                    within = true;
                } else if (event == XMLStreamConstants.START_ELEMENT && within) {
                    groups.getLast().put(reader.getLocalName(), reader.getElementText());
                } else if (event == XMLStreamConstants.END_ELEMENT
                        && reader.getLocalName().equals(element)) {
                    within = false;
                }
            }
            return groups;
        } catch (XMLStreamException e) {
            throw new ServiceException(400, "MalformedXML", "The body is not of the expected form: " + e.getMessage());
        }
    }
}
