package io.penstock.loader;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption.DoNotIncludeTests;
import org.junit.jupiter.api.Test;

/// The loader moves bytes: what they mean is others' business, and its core runs without a framework.
class TestBoundaries {
    private final JavaClasses imported =
            new ClassFileImporter().withImportOption(new DoNotIncludeTests()).importPackages("io.penstock.loader");

    @Test
    void knowsNothingOfTensors() {
        noClasses()
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.penstock.model.tensor..",
                        "io.penstock.model.quant..",
                        "io.penstock.model.checkpoint..",
                        "io.penstock.model.config..",
                        "io.penstock.emulator..")
                .check(imported);
    }

    @Test
    void theCoreNeedsNoFrameworkAndNoContract() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "io.penstock.loader.source..",
                        "io.penstock.loader.verify..",
                        "io.penstock.loader.cache..",
                        "io.penstock.loader.transfer..",
                        "io.penstock.loader.push..",
                        "io.penstock.loader.catalog..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.quarkus..", "jakarta..", "io.grpc..", "io.penstock.api..")
                .check(imported);
    }

    @Test
    void packagesFormNoCycle() {
        slices().matching("io.penstock.loader.(*)..").should().beFreeOfCycles().check(imported);
    }
}
