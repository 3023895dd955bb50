package io.penstock.gateway;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/// What the gateway must not know, and who must not know whom in it.
class TestBoundaries {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("io.penstock.gateway");

    @Test
    void noBatchesBlocksOrDevices() {
        noClasses()
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.penstock.scheduler..",
                        "io.penstock.shard..",
                        "io.penstock.loader..",
                        "io.penstock.api.shard..",
                        "jcuda..",
                        "jdk.incubator..")
                .check(CLASSES);
    }

    @Test
    void protocolsDoNotKnowEachOther() {
        slices().matching("io.penstock.gateway.(openai|grpc)..")
                .should()
                .notDependOnEachOther()
                .check(CLASSES);
    }

    @Test
    void nothingBelowKnowsAProtocol() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "..gateway.chat..",
                        "..gateway.dispatch..",
                        "..gateway.catalogue..",
                        "..gateway.access..",
                        "..gateway.telemetry..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("..gateway.openai..", "..gateway.grpc..", "io.vertx..")
                .check(CLASSES);
    }

    @Test
    void protocolsReachSchedulersThroughCompletionsOnly() {
        noClasses()
                .that()
                .resideInAnyPackage("..gateway.openai..", "..gateway.grpc..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("..gateway.dispatch..", "io.penstock.api.inference..")
                .check(CLASSES);
    }

    @Test
    void packagesHaveNoCycles() {
        slices().matching("io.penstock.gateway.(*)..").should().beFreeOfCycles().check(CLASSES);
    }
}
