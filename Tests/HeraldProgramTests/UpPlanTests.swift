import Testing

@testable import herald

@Suite struct UpPlanTests {
    private func plan(_ change: (inout HeraldSettings) -> Void = { _ in }, nodes: Int = 2) -> UpPlan {
        var settings = HeraldSettings()
        change(&settings)
        var options = UpPlan.Options()
        options.nodes = nodes
        options.directory = "/run/h"
        options.redisConfiguration = "/run/h/redis.conf"
        options.passedOn = ["--log-level", "debug"]
        return UpPlan(options, settings: settings)
    }

    @Test func `a private Redis, logic and nodes on ports in a row`() {
        let plan = plan()
        #expect(plan.programs.map(\.name) == ["redis", "logic", "job", "cloud-1", "cloud-2"])
        #expect(plan.programs.map(\.port) == [6399, 8080, 0, 9001, 9002])
        #expect(plan.redisURL == "redis://127.0.0.1:6399")
        #expect(plan.clouds.map(\.url) == ["ws://127.0.0.1:9001/ws", "ws://127.0.0.1:9002/ws"])
        #expect(plan.logic.url == "http://127.0.0.1:8080")
        #expect(plan.redis?.words.starts(with: ["redis-server", "/run/h/redis.conf"]) == true)
        for server in [plan.logic, plan.job] + plan.clouds {
            #expect(server.words.contains("debug"))
            #expect(server.words.contains(plan.redisURL))
        }
        #expect(plan.clash == nil)
    }

    @Test func `a Redis that was named is used as it is`() {
        let plan = plan { $0.redis.url = "redis://10.0.0.1:6379" }
        #expect(plan.redis == nil)
        #expect(plan.programs.map(\.name) == ["logic", "job", "cloud-1", "cloud-2"])
        #expect(plan.logic.words.contains("redis://10.0.0.1:6379"))
        #expect(!plan.logic.words.contains("redis.password="))
    }

    @Test func `nodes part quickly unless told otherwise`() {
        #expect(plan().clouds.allSatisfy { $0.words.contains("cloud.drain_duration=2s") })
        let told = plan { $0.cloud.drainDuration = .seconds(30) }
        #expect(!told.clouds.contains { $0.words.contains("cloud.drain_duration=2s") })
    }

    @Test func `two that want one port are found`() {
        let clash = plan { $0.logic.port = 9002 }.clash
        #expect(clash?.0.name == "logic")
        #expect(clash?.1.name == "cloud-2")
    }
}
