package io.penstock.shard;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.Test;

/// The borders that the architecture draws through this module.
class TestArchitecture {
    private static final JavaClasses CLASSES = new ClassFileImporter()
            .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("io.penstock.shard");

    @Test
    void devicesAndWiresKnowNoFramework() {
        noClasses()
                .that()
                .resideInAnyPackage(
                        "io.penstock.shard.backend..",
                        "io.penstock.shard.layers..",
                        "io.penstock.shard.collective..",
                        "io.penstock.shard.sampling..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.grpc..",
                        "com.google.protobuf..",
                        "io.penstock.api..",
                        "io.quarkus..",
                        "jakarta..",
                        "io.smallrye..")
                .because("they are driven by plans and plain arrays, in services, tests and benchmarks alike")
                .check(CLASSES);
    }

    @Test
    void theLoopKnowsNoTransportAndNoFramework() {
        noClasses()
                .that()
                .resideInAnyPackage("io.penstock.shard.step..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.grpc..", "io.quarkus..", "jakarta..", "io.penstock.shard.grpc..")
                .because("it obeys messages, whatever brings them")
                .check(CLASSES);
    }

    @Test
    void aRankHoldsNoPolicy() {
        noClasses()
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.penstock.scheduler..", "io.penstock.gateway..", "io.penstock.loader..")
                .because("services meet in the contracts only")
                .check(CLASSES);
    }

    @Test
    void noBackendKnowsTheOther() {
        noClasses()
                .that()
                .resideInAPackage("io.penstock.shard.backend.cpu..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("io.penstock.shard.backend.cuda..")
                .check(CLASSES);
        noClasses()
                .that()
                .resideInAPackage("io.penstock.shard.backend.cuda..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("io.penstock.shard.backend.cpu..")
                .check(CLASSES);
    }
}
