package io.penstock.api;

import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.Map;
import javax.management.JMException;
import javax.management.ObjectName;

/// What is on the heap of this JVM.
public final class ObjectCounts {
    private ObjectCounts() {}

    /// How many objects of each class are alive, after a collection.
    public static String alive() throws JMException {
        return (String) ManagementFactory.getPlatformMBeanServer()
                .invoke(
                        new ObjectName("com.sun.management:type=DiagnosticCommand"),
                        "gcClassHistogram",
                        new Object[] {new String[0]},
                        new String[] {String[].class.getName()});
    }

    /// Only once all is measured: what this makes would be measured, too.
    public static Map<String, Long> counts(String histogram) {
        Map<String, Long> counts = new HashMap<>();
        for (String line : histogram.split("\n", -1)) {
            // number: instances bytes class (module)
            String[] columns = line.strip().split("\\s+", -1);
            if (columns.length >= 4 && columns[0].endsWith(":") && !columns[3].contains("jdk.internal.vm.Filler")) {
                counts.merge(columns[3], Long.parseLong(columns[1]), Long::sum);
            }
        }
        return counts;
    }
}
