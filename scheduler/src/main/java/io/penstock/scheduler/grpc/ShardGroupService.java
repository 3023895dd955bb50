package io.penstock.scheduler.grpc;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.penstock.api.shard.ShardGroupGrpc;
import io.penstock.api.shard.ShardOrder;
import io.penstock.api.shard.ShardReport;
import io.penstock.scheduler.group.Groups;
import io.quarkus.grpc.GrpcService;

/// Serves `shard.proto`: each call is one rank's attachment.
@GrpcService
public class ShardGroupService extends ShardGroupGrpc.ShardGroupImplBase {
    private final Groups groups;

    ShardGroupService(Groups groups) {
        this.groups = groups;
    }

    @Override
    public StreamObserver<ShardReport> attach(StreamObserver<ShardOrder> response) {
        return new RankStream(groups, (ServerCallStreamObserver<ShardOrder>) response);
    }
}
