package io.penstock.emulator;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import org.junit.jupiter.api.Test;

/// The emulator judges the loader's client code, so it shares none of it.
class TestBoundaries {
    private final JavaClasses imported =
            new ClassFileImporter().withImportOption(new DoNotIncludeTests()).importPackages("io.penstock.emulator");

    @Test
    void dependsOnNothingOfOurs() {
        classes()
                .should()
                .onlyDependOnClassesThat()
                .resideInAnyPackage(
                        "io.penstock.emulator..",
                        "java..",
                        "javax.crypto..",
                        "javax.xml.stream..",
                        "io.vertx..",
                        "io.netty..")
                .check(imported);
    }
}
