package io.penstock.loader.push;

class TestPushToOci extends PushContract {
    TestPushToOci() {
        super(Api.OCI);
    }
}
