package io.penstock.gateway.grpc;

import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.penstock.gateway.access.ApiKeys;
import io.quarkus.grpc.GlobalInterceptor;
import jakarta.enterprise.context.ApplicationScoped;
import jakarta.inject.Inject;

/// Asks every gRPC call for its key, as the REST API asks: in `authorization`. Health checks come without.
@GlobalInterceptor
@ApplicationScoped
public class KeyInterceptor implements ServerInterceptor {
    private static final Metadata.Key<String> AUTHORIZATION =
            Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private static final String HEALTH = "grpc.health.v1.Health";

    private final ApiKeys keys;

    @Inject
    public KeyInterceptor(ApiKeys keys) {
        this.keys = keys;
    }

    @Override
    public <Q, S> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, S> call, Metadata headers, ServerCallHandler<Q, S> next) {
        boolean open = HEALTH.equals(call.getMethodDescriptor().getServiceName());
        if (open || keys.admit(headers.get(AUTHORIZATION))) {
            return next.startCall(call, headers);
        }
        call.close(Status.UNAUTHENTICATED.withDescription("no API key, or not one that is known here"), new Metadata());
        return new ServerCall.Listener<>() {};
    }
}
