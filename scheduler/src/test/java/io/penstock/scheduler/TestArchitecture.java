package io.penstock.scheduler;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/// The scheduler's borders: tokens, not text; policy, not devices; a core that needs no framework.
final class TestArchitecture {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(new ImportOption.DoNotIncludeTests())
            .importPackages("io.penstock.scheduler");

    @Test
    void holdsNoTextAndNoDeviceCode() {
        noClasses()
                .that()
                .resideInAPackage("io.penstock.scheduler..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.penstock.model.tokenizer..",
                        "io.penstock.model.template..",
                        "io.penstock.model.checkpoint..",
                        "io.penstock.api.chat..",
                        "io.penstock.api.weights..",
                        "io.penstock.shard..",
                        "io.penstock.gateway..",
                        "io.penstock.loader..",
                        "jcuda..",
                        "jdk.incubator.vector..",
                        "java.lang.foreign..")
                .check(CLASSES);
    }

    @Test
    void theCoreNeedsNoFramework() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "io.penstock.scheduler.admission..",
                        "io.penstock.scheduler.batch..",
                        "io.penstock.scheduler.kv..",
                        "io.penstock.scheduler.group..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.quarkus..", "jakarta..", "io.vertx..", "io.grpc..", "io.micrometer..")
                .check(CLASSES);
    }

    @Test
    void blocksKnowNothingOfSequencesAndSequencesNothingOfGroups() {
        noClasses()
                .that()
                .resideInAPackage("io.penstock.scheduler.kv..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.penstock.scheduler.batch..", "io.penstock.scheduler.group..")
                .check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("io.penstock.scheduler.batch..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.penstock.scheduler.group..", "io.penstock.scheduler.grpc..")
                .check(CLASSES);
    }
}
