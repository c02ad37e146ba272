import ArgumentParser
import HeraldCore
import HeraldRedis
import HeraldWire

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Looks at Redis and says whether Herald can live with it, and what to change.",
        discussion: """
            Takes 10 seconds at most and changes nothing but the script cache.

            Exit codes: 0 nothing failed (there may be warnings), 1 something did, 2 wrong usage, 69 Redis is out \
            of reach.
            """
    )

    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let settings = try shared.settings()
        let address = try settings.redisAddress()
        let findings: [Finding]
        var isAway = false
        do {
            findings = try await Deadline.within(.seconds(10)) {
                let facts = try await RedisSession.open(settings) { try await RedisFacts.gather($0) }
                return [Finding(.ok, "reachable", "\(address) answers")]
                    + facts.findings(leaseTTL: settings.limits.leaseTTL) + settings.presenceFindings
            }
        } catch let failure as Failure where failure.code == .unavailable {
            isAway = true
            findings = [
                Finding(
                    .fail,
                    "reachable",
                    failure.description,
                    todo: "start Redis there, or say where it is with --redis"
                )
            ]
        } catch is Deadline.Passed {
            isAway = true
            findings = [
                Finding(
                    .fail,
                    "reachable",
                    "\(address) did not answer everything within 10 s",
                    todo: "see what keeps it busy: redis-cli --latency, SLOWLOG GET"
                )
            ]
        }
        if json { Console.say(Finding.json(findings)) } else { for finding in findings { finding.show() } }
        if isAway { throw ExitCode(Failure.Code.unavailable.rawValue) }
        if findings.contains(where: { $0.level == .fail }) { throw ExitCode(Failure.Code.no.rawValue) }
    }
}
