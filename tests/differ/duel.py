"""One seed's questions to both brokers: asked, answered, compared."""

import collections
import time

from compare import Difference, differences, normal
from messages import CLASSES, REQUESTS, Closed, Connection
from question import GROUPS, MAKERS, WEIGHTS, Question, dice_for
from world import World, resolve

KAFKA, HERE = 0, 1
# The coordinator is being found, or reads its log: clients ask again.
NOT_YET = {14, 15, 16}
GROUP_ID_NOT_FOUND = 69
UNKNOWN_SERVER_ERROR = -1
# After these, Kafka's broker needs a moment to hear from its controller what was decided.
CHANGES = {"CreateTopics", "DeleteTopics", "CreatePartitions", "AlterConfigs", "IncrementalAlterConfigs", "DeleteRecords", "Produce"}
SETTLE_S = 10
# No question is to be waited for, so who says nothing for so long will not.
PATIENCE_S = 15


class Duel:
    def __init__(self, ports, explanations, arguments):
        self.connections = [Connection(port) for port in ports]
        self.explanations = explanations
        self.arguments = arguments
        self.world = World()
        self.found = collections.Counter()
        self.first = {}
        self.explained = collections.Counter()
        self.asked = collections.Counter()

    def fight(self):
        self.versions = self.common_versions()
        self.begin()
        for number in range(self.arguments.requests):
            self.one(number)
        print(f"seed {self.arguments.seed}: {sum(self.asked.values())} requests of {len(self.asked)} APIs", flush=True)

    def verdict(self):
        for api in sorted(self.asked):
            print(f"  {api}: {self.asked[api]}")
        if self.arguments.all:
            for entry, count in sorted(self.explained.items()):
                print(f"explained ({count}x): {entry}")
        for signature, count in self.found.most_common():
            print(f"\n{count}x {self.first[signature]}")
        unused = len(self.explanations.entries) - len(self.explanations.used)
        print(f"\n{len(self.found)} differences without an explanation, {sum(self.explained.values())} with one; {unused} explanations not needed")
        return 1 if self.found else 0

    # Before the first question

    def common_versions(self):
        """What both serve, and the library can say: by API, its first and last version."""
        told = []
        for connection in self.connections:
            answer = connection.ask("ApiVersions", 0, {})
            told.append({REQUESTS.get(api["api_key"]): (api["min_version"], api["max_version"]) for api in answer["api_keys"]})
        common = {}
        for api, (first, last) in told[HERE].items():
            assert api in told[KAFKA], f"{api} is served here and not by Kafka"
            theirs = told[KAFKA][api]
            first, last = max(first, theirs[0]), min(last, theirs[1], CLASSES[f"{api}Request"].max_version)
            common[api] = (first, last)
            for which, version, other in (("first", told[HERE][api][0], theirs[0]), ("last", told[HERE][api][1], theirs[1])):
                if version != other:
                    self.note(Difference(api, version, f"({which} version)", str(other), str(version)), "ApiVersions")
        return common

    def begin(self):
        """Both find their coordinators, and know where they keep their logs."""
        for group in GROUPS:
            self.both("FindCoordinator", 4, {"key_type": 0, "coordinator_keys": [group]}, self.coordinator_is_there)
            self.both("OffsetFetch", 8, {"groups": [{"group_id": group, "topics": None}]}, self.group_is_there)
        internal = self.both("Metadata", 12, {"topics": [{"name": "__consumer_offsets"}]})
        self.world.told("the id of __consumer_offsets", [answer["topics"][0]["topic_id"] for answer in internal])
        dirs = self.both("DescribeLogDirs", 4, {"topics": []})
        self.world.log_dir = self.world.told("the log directory", [answer["results"][0]["log_dir"] for answer in dirs])

    @staticmethod
    def coordinator_is_there(answer):
        return answer["coordinators"][0]["error_code"] not in NOT_YET

    @staticmethod
    def group_is_there(answer):
        return answer["groups"][0]["error_code"] not in NOT_YET

    def both(self, api, version, fields, ready=lambda answer: True):
        """Asks both until they are ready to answer."""
        answers = []
        for broker, connection in enumerate(self.connections):
            deadline = time.monotonic() + 60
            while not ready(answer := connection.ask(api, version, resolve(fields, broker))):
                assert time.monotonic() < deadline, f"{api}: {answer}"
                time.sleep(0.1)
            answers.append(answer)
        return answers

    # The questions

    def one(self, number):
        dice = dice_for(self.arguments.seed, number)
        apis = [api for api in self.versions if not self.arguments.only or api in self.arguments.only or api in MAKERS]
        api = dice.choices(apis, [WEIGHTS.get(api, 1) for api in apis])[0]
        first, last = self.versions[api]
        version = dice.choice((last, dice.randint(first, last)))
        question = Question(self.world, dice, api, version)
        self.asked[api] += 1
        answers = [self.answer(broker, question) for broker in (KAFKA, HERE)]
        self.learn(question, answers)
        self.compare(question, answers, f"request {number}: {api} v{version} {question.fields}")
        if api in ("JoinGroup", "OffsetCommit"):
            self.clear_refused(question, answers)
        if api in ("AlterConfigs", "IncrementalAlterConfigs"):
            self.level_configs(question, answers)
        if api in CHANGES:
            self.settle(question, number)

    def answer(self, broker, question):
        """What this broker says, or that it hung up, or says nothing."""
        connection, fields = self.connections[broker], resolve(question.fields, broker)
        for _ in range(100):
            try:
                answer = connection.ask(question.api, question.version, fields, question.answered, PATIENCE_S)
                if not question.answered:
                    # Whether it was taken shows with the next.
                    connection.ask("ApiVersions", 0, {})
            except Closed:
                return {"closed": True}
            except TimeoutError:
                connection.close()
                return {"closed": "no, and no answer either"}
            if not is_not_yet(answer):
                break
            time.sleep(0.1)
        return answer

    def learn(self, question, answers):
        """What both gave out under names of their own."""
        if any(answer is None or "closed" in answer for answer in answers):
            return
        match question.api:
            case "InitProducerId" if all(answer["error_code"] == 0 for answer in answers):
                self.world.producer([answer["producer_id"] for answer in answers])
            case "JoinGroup" if all(answer["member_id"] for answer in answers):
                self.world.member(question.fields["group_id"], [answer["member_id"] for answer in answers])
                if all(answer["error_code"] == 0 for answer in answers):
                    self.sync(question, answers)
            case "CreateTopics":
                self.learn_topic_ids(answers)
            case "Fetch" if all(answer.get("session_id") for answer in answers):
                if ("session_id", answers[KAFKA]["session_id"]) not in self.world.names[KAFKA]:
                    self.world.session([answer["session_id"] for answer in answers])

    def learn_topic_ids(self, answers):
        """Also of a topic that was only validated: both gave it an id, which nobody hears of again."""
        ids = [{topic["name"]: topic["topic_id"] for topic in answer["topics"] if topic.get("topic_id")} for answer in answers]
        for name in ids[KAFKA].keys() & ids[HERE].keys():
            self.world.told(f"the id of {name}", [of[name] for of in ids])

    def level_configs(self, question, answers):
        """Where one took a change of a broker's settings and the other did not, both go back to what these were at their start."""
        told = [{part["resource_name"]: part["error_code"] for part in answer.get("responses", []) if part["resource_type"] == 4} for answer in answers]
        for asked in question.fields["resources"]:
            name = asked["resource_name"]
            if asked["resource_type"] != 4 or len({codes.get(name) == 0 for codes in told}) == 1:
                continue
            for config in asked["configs"]:
                change = {"name": config["name"], "config_operation": 1, "value": None}
                resource = {"resource_type": 4, "resource_name": name, "configs": [change]}
                for connection in self.connections:
                    connection.ask("IncrementalAlterConfigs", 1, {"resources": [resource], "validate_only": False})

    def clear_refused(self, question, answers):
        """Kafka keeps, in memory alone, an empty group that was made for a join or a commit which it then refused; here there is none.
        Not everybody sees it at once, so it is not looked for: it goes, and all that follows can be compared."""
        if not all(answer and has_error(answer) for answer in answers):
            return
        group = question.fields["group_id"]
        described = self.connections[HERE].ask("DescribeGroups", 6, {"groups": [group]})["groups"][0]
        if described["error_code"] == GROUP_ID_NOT_FOUND:
            gone = self.connections[KAFKA].ask("DeleteGroups", 2, {"groups_names": [group]})["results"][0]["error_code"]
            if gone == 0:
                self.explained[f"{question.api}: one that is refused leaves an empty group / none"] += 1

    def sync(self, question, answers):
        """The one who joined is in the middle of a rebalance, which a clock would end: it is ended here."""
        answer = answers[KAFKA]
        if answer["leader"] != answer["member_id"]:
            return
        member = self.world.members[question.fields["group_id"]]
        member = next(told for told in member if told.values[KAFKA] == answer["member_id"])
        fields = {"group_id": question.fields["group_id"], "generation_id": answer["generation_id"], "member_id": member,
                  "assignments": [{"member_id": member, "assignment": b"all"}]}
        synced = [connection.ask("SyncGroup", 3, resolve(fields, broker)) for broker, connection in enumerate(self.connections)]
        self.compare_as("SyncGroup", 3, synced, f"the end of the rebalance: SyncGroup v3 {fields}")

    def compare(self, question, answers, what):
        if not question.answered and answers == [None, None]:
            return
        kafka, here = (answer or {} for answer in answers)
        if has_error(kafka, UNKNOWN_SERVER_ERROR):
            # Kafka came upon an exception that nobody expected. Here the request has its error.
            self.explained[f"{question.api}: UNKNOWN_SERVER_ERROR / what is wrong"] += 1
            return
        if ("closed" in kafka) != ("closed" in here):
            kafka, here = ({"closed": answer.get("closed", False)} for answer in (kafka, here))
        self.compare_as(question.api, question.version, [kafka, here], what)

    def compare_as(self, api, version, answers, what):
        kafka, here = (normal(answer, names) for answer, names in zip(answers, self.world.names))
        for difference in differences(api, version, kafka, here):
            self.note(difference, f"{what}\n  Kafka  {kafka}\n  here   {here}")

    def note(self, difference, what):
        if self.explanations.explains(difference):
            self.explained[f"{difference.api} {difference.path}: {difference.kafka} / {difference.here}"] += 1
            return
        self.found[difference.signature] += 1
        if difference.signature not in self.first:
            self.first[difference.signature] = f"{difference}\n  {what}"
            print(f"! {difference}", flush=True)

    # What there is afterwards

    def settle(self, question, number):
        """Waits until both have the same topics, settings and records; where they do not, both begin anew."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            portraits = [self.portrait(broker) for broker in (KAFKA, HERE)]
            kafka, here = ({name: part for name, part in portrait.items() if name != "ids"} for portrait in portraits)
            if kafka == here:
                break
            if time.monotonic() > deadline:
                for difference in differences(f"after {question.api}", question.version, kafka, here):
                    self.note(difference, f"request {number}: {question.fields}")
                self.clear()
                return
            time.sleep(0.02)
        self.world.partitions = {topic: len(ends) for topic, ends in kafka["ends"].items()}
        ids = [portrait["ids"] for portrait in portraits]
        self.world.topic_ids = {topic: self.id_of(topic, [of[topic] for of in ids]) for topic in ids[KAFKA]}

    def id_of(self, topic, values):
        known = self.world.topic_ids.get(topic)
        if known is not None and known.values == tuple(values):
            return known
        return self.world.told(f"the id of {topic}", values)

    def portrait(self, broker):
        """The topics that there are: ids, partitions, settings, first and last offsets."""
        ask = self.connections[broker].ask
        topics = [topic for topic in ask("Metadata", 12, {"topics": None})["topics"] if not topic["is_internal"]]
        names = {topic["name"]: [part["partition_index"] for part in topic["partitions"]] for topic in topics}
        ready = {topic["name"]: sorted((part["partition_index"], part["error_code"], part["leader_id"]) for part in topic["partitions"]) for topic in topics}
        resources = [{"resource_type": 2, "resource_name": name, "configuration_keys": None} for name in names]
        configs = ask("DescribeConfigs", 4, {"resources": resources})["results"]
        settings = {
            result["resource_name"]: sorted((entry["name"], entry["value"]) for entry in result["configs"] if entry["config_source"] == 1)
            for result in configs
        }
        return {
            "ids": {topic["name"]: topic["topic_id"] for topic in topics},
            "topics": ready,
            "settings": settings,
            "starts": self.offsets(ask, names, -2),
            "ends": self.offsets(ask, names, -1),
        }

    @staticmethod
    def offsets(ask, names, timestamp):
        topics = [{"name": name, "partitions": [{"partition_index": part, "current_leader_epoch": -1, "timestamp": timestamp} for part in parts]} for name, parts in names.items()]
        answer = ask("ListOffsets", 7, {"replica_id": -1, "isolation_level": 0, "topics": topics})
        return {topic["name"]: sorted((part["partition_index"], part["error_code"], part["offset"]) for part in topic["partitions"]) for topic in answer["topics"]}

    def clear(self):
        """No topics at all, on either side."""
        deadline = time.monotonic() + 60
        for broker in (KAFKA, HERE):
            while names := list(self.portrait(broker)["topics"]):
                assert time.monotonic() < deadline, f"topics that do not go: {names}"
                self.connections[broker].ask("DeleteTopics", 5, {"topic_names": names, "timeout_ms": 10_000})
                time.sleep(0.2)
        self.world.partitions = {}
        self.world.topic_ids = {}


def has_error(answer, code=None):
    """Whether there is an error, or just this one, anywhere in it."""
    match answer:
        case dict():
            found = answer.get("error_code", 0)
            return (found == code if code else found != 0) or any(has_error(part, code) for part in answer.values())
        case list():
            return any(has_error(part, code) for part in answer)
    return False


def is_not_yet(answer):
    """Whether an error code anywhere says so."""
    match answer:
        case dict():
            return answer.get("error_code") in NOT_YET or any(map(is_not_yet, answer.values()))
        case list():
            return any(map(is_not_yet, answer))
    return False
