"""Field numbers of the v1 API of Mesos (1.11, whose older fields never changed), as far as operators' calls go.

Each message is a line (with continuations): its name, then `name=number type`, where `!` is required and `*` repeated;
protobuf.py says what the types are. What lies in package mesos.v1.agent has `agent.` before its name, what lies in
mesos.v1.master `master.`. Fields that neither our master nor our agent reads or says are left out, and so skipped.
"""

from __future__ import annotations

from collections.abc import Iterator

from tortie.wire.protobuf import Schema

MESSAGES = """
Address: hostname=1 s, ip=2 s, port=3! i
AgentID: value=1! s
AgentInfo: hostname=1! s, port=8 i, resources=3* Resource, attributes=5* Attribute, id=6 AgentID, domain=10 DomainInfo
AgentInfo.Capability:
Attribute: name=1! s, type=2! Value.Type, scalar=3 Value.Scalar, ranges=4 Value.Ranges, set=6 Value.Set, text=5
  Value.Text
CapabilityInfo:
CgroupInfo:
CommandInfo: uris=1* URI, environment=2 Environment, shell=6 b, value=3 s, arguments=7* s, user=5 s
CommandInfo.URI: value=1! s, executable=2 b, extract=3 b, cache=4 b, output_file=5 s
ContainerID: value=1! s, parent=2 ContainerID
ContainerInfo: type=1! Type, volumes=2* Volume, hostname=4 s, docker=3 DockerInfo, mesos=5 MesosInfo, network_infos=7*
  NetworkInfo, linux_info=8 LinuxInfo, rlimit_info=9 RLimitInfo, tty_info=10 TTYInfo
ContainerInfo.DockerInfo: image=1! s, network=2 Network, port_mappings=3* PortMapping, privileged=4 b, parameters=5*
  Parameter, force_pull_image=6 b, volume_driver=7 s
ContainerInfo.DockerInfo.PortMapping: host_port=1! u, container_port=2! u, protocol=3 s
ContainerInfo.MesosInfo: image=1 Image
ContainerStatus: container_id=4 ContainerID, network_infos=1* NetworkInfo, cgroup_info=2 CgroupInfo, executor_pid=3 u
DiscoveryInfo: visibility=1! Visibility, name=2 s, environment=3 s, location=4 s, version=5 s, ports=6 Ports, labels=7
  Labels
DomainInfo: fault_domain=1 FaultDomain
DomainInfo.FaultDomain:
DrainInfo: state=1! DrainState
DurationInfo: nanoseconds=1! I
Environment: variables=1* Variable
Environment.Variable: name=1! s, type=3 Type, value=2 s
ExecutorID: value=1! s
ExecutorInfo: type=15 Type, executor_id=1! ExecutorID, framework_id=8 FrameworkID, command=7 CommandInfo, container=11
  ContainerInfo, resources=5* Resource, name=9 s, source=10 s, data=4 B, discovery=12 DiscoveryInfo,
  shutdown_grace_period=13 DurationInfo, labels=14 Labels
FileInfo: path=1! s, nlink=2 i, size=3 U, mtime=4 TimeInfo, mode=5 u, uid=6 s, gid=7 s
Flag: name=1! s, value=2 s
FrameworkID: value=1! s
FrameworkInfo: user=1! s, name=2! s, id=3 FrameworkID, failover_timeout=4 d, checkpoint=5 b, role=6 s, roles=12* s,
  hostname=7 s, principal=8 s, webui_url=9 s, capabilities=10* Capability, labels=11 Labels
FrameworkInfo.Capability: type=1 Type
HealthCheck: delay_seconds=2 d, interval_seconds=3 d, timeout_seconds=4 d, consecutive_failures=5 u,
  grace_period_seconds=6 d, type=8 Type, command=7 CommandInfo, http=1 HTTPCheckInfo, tcp=9 TCPCheckInfo
HealthCheck.HTTPCheckInfo: protocol=5 NetworkInfo.Protocol, scheme=3 s, port=1! u, path=2 s, statuses=4* u
HealthCheck.TCPCheckInfo: protocol=2 NetworkInfo.Protocol, port=1! u
Image: type=1! Type, appc=2 Appc, docker=3 Docker, cached=4 b
Image.Appc: name=1! s, id=2 s, labels=3 Labels
Image.Docker: name=1! s
InverseOffer: id=1! OfferID, url=2 URL, framework_id=3! FrameworkID, agent_id=4 AgentID, unavailability=5!
  Unavailability, resources=6* Resource
KillPolicy: grace_period=1 DurationInfo
Label: key=1! s, value=2 s
Labels: labels=1* Label
LinuxInfo: capability_info=1 CapabilityInfo, bounding_capabilities=2 CapabilityInfo, effective_capabilities=3
  CapabilityInfo, share_pid_namespace=4 b, shm_size=7 u, share_cgroups=8 b
MasterInfo: id=1! s, ip=2! u, port=3! u, pid=4 s, hostname=5 s, version=6 s, address=7 Address, domain=8 DomainInfo
Metric: name=1! s, value=2 d
NetworkInfo: ip_addresses=5* IPAddress, name=6 s, groups=3* s, labels=4 Labels, port_mappings=7* PortMapping
NetworkInfo.IPAddress: protocol=1 Protocol, ip_address=2 s
NetworkInfo.PortMapping: host_port=1! u, container_port=2! u, protocol=3 s
Offer: id=1! OfferID, framework_id=2! FrameworkID, agent_id=3! AgentID, hostname=4! s, url=8 URL, domain=11
  DomainInfo, resources=5* Resource, attributes=7* Attribute, executor_ids=6* ExecutorID, unavailability=9
  Unavailability, allocation_info=10 Resource.AllocationInfo
OfferID: value=1! s
Parameter: key=1! s, value=2! s
Port: number=1! u, name=2 s, protocol=3 s, visibility=4 DiscoveryInfo.Visibility, labels=5 Labels
Ports: ports=1* Port
RLimitInfo: rlimits=1* RLimit
RLimitInfo.RLimit: hard=2 U, soft=3 U
Resource: name=1! s, type=2! Value.Type, scalar=3 Value.Scalar, ranges=4 Value.Ranges, set=5 Value.Set, role=6 s,
  allocation_info=11 AllocationInfo, reservation=8 ReservationInfo, reservations=13* ReservationInfo, disk=7 DiskInfo,
  revocable=9 RevocableInfo, shared=10 SharedInfo
Resource.AllocationInfo: role=1 s
Resource.DiskInfo: persistence=1 Persistence, volume=2 Volume
Resource.DiskInfo.Persistence: id=1! s, principal=2 s
Resource.ReservationInfo: role=3 s, principal=1 s, labels=2 Labels
Resource.RevocableInfo:
Resource.SharedInfo:
ResourceStatistics: timestamp=1! d, processes=30 u, threads=31 u, cpus_user_time_secs=2 d, cpus_system_time_secs=3 d,
  cpus_limit=4 d, cpus_nr_periods=7 u, cpus_nr_throttled=8 u, cpus_throttled_time_secs=9 d, mem_total_bytes=36 U,
  mem_total_memsw_bytes=37 U, mem_limit_bytes=6 U, mem_soft_limit_bytes=38 U, mem_file_bytes=10 U, mem_anon_bytes=11
  U, mem_cache_bytes=39 U, mem_rss_bytes=5 U, mem_mapped_file_bytes=12 U, mem_swap_bytes=40 U,
  mem_unevictable_bytes=41 U, disk_limit_bytes=26 U, disk_used_bytes=27 U, net_rx_packets=14 U, net_rx_bytes=15 U,
  net_rx_errors=16 U, net_rx_dropped=17 U, net_tx_packets=18 U, net_tx_bytes=19 U, net_tx_errors=20 U,
  net_tx_dropped=21 U
Role: name=1! s, weight=2! d, frameworks=3* FrameworkID, resources=4* Resource
TTYInfo: window_size=1 WindowSize
TTYInfo.WindowSize: rows=1! u, columns=2! u
Task: name=1! s, task_id=2! TaskID, framework_id=3! FrameworkID, executor_id=4 ExecutorID, agent_id=5! AgentID,
  state=6! TaskState, resources=7* Resource, statuses=8* TaskStatus, status_update_state=9 TaskState,
  status_update_uuid=10 B, labels=11 Labels, discovery=12 DiscoveryInfo, container=13 ContainerInfo, health_check=15
  HealthCheck, kill_policy=16 KillPolicy, user=14 s, limits=17 map<string, Value.Scalar>
TaskID: value=1! s
TaskResourceLimitation: resources=1* Resource
TaskStatus: task_id=1! TaskID, state=2! TaskState, message=4 s, source=9 Source, reason=10 Reason, data=3 B,
  agent_id=5 AgentID, executor_id=7 ExecutorID, timestamp=6 d, uuid=11 B, healthy=8 b, labels=12 Labels,
  container_status=13 ContainerStatus, unreachable_time=14 TimeInfo, limitation=16 TaskResourceLimitation
TimeInfo: nanoseconds=1! I
URL: scheme=1! s, address=2! Address, path=3 s, query=4* Parameter, fragment=5 s
Unavailability: start=1! TimeInfo, duration=2 DurationInfo
Value.Range: begin=1! U, end=2! U
Value.Ranges: range=1* Range
Value.Scalar: value=1! d
Value.Set: item=1* s
Value.Text: value=1! s
VersionInfo: version=1! s, build_date=2 s, build_time=3 d, build_user=4 s, git_sha=5 s, git_branch=6 s, git_tag=7 s
Volume: mode=3! Mode, container_path=1! s, host_path=2 s, image=4 Image
agent.Call: type=1 Type, get_metrics=2 GetMetrics, set_logging_level=3 SetLoggingLevel, list_files=4 ListFiles,
  read_file=5 ReadFile, get_containers=20 GetContainers, launch_nested_container=6 LaunchNestedContainer,
  wait_nested_container=7 WaitNestedContainer, kill_nested_container=8 KillNestedContainer, remove_nested_container=12
  RemoveNestedContainer, launch_nested_container_session=9 LaunchNestedContainerSession, attach_container_input=10
  AttachContainerInput, attach_container_output=11 AttachContainerOutput, launch_container=13 LaunchContainer,
  wait_container=14 WaitContainer, kill_container=15 KillContainer, remove_container=16 RemoveContainer
agent.Call.AttachContainerInput: type=1 Type, container_id=2 ContainerID, process_io=3 ProcessIO
agent.Call.AttachContainerOutput: container_id=1! ContainerID
agent.Call.GetContainers: show_nested=1 b, show_standalone=2 b
agent.Call.GetMetrics: timeout=1 DurationInfo
agent.Call.KillContainer: container_id=1! ContainerID, signal=2 i
agent.Call.KillNestedContainer: container_id=1! ContainerID, signal=2 i
agent.Call.LaunchContainer: container_id=1! ContainerID, command=2 CommandInfo, resources=3* Resource, container=4
  ContainerInfo, limits=5 map<string, Value.Scalar>
agent.Call.LaunchNestedContainer: container_id=1! ContainerID, command=2 CommandInfo, container=3 ContainerInfo
agent.Call.LaunchNestedContainerSession: container_id=1! ContainerID, command=2 CommandInfo, container=3 ContainerInfo
agent.Call.ListFiles: path=1! s
agent.Call.ReadFile: path=1! s, offset=2! U, length=3 U
agent.Call.RemoveContainer: container_id=1! ContainerID
agent.Call.RemoveNestedContainer: container_id=1! ContainerID
agent.Call.SetLoggingLevel: level=1! u, duration=2! DurationInfo
agent.Call.WaitContainer: container_id=1! ContainerID
agent.Call.WaitNestedContainer: container_id=1! ContainerID
agent.ProcessIO: type=1 Type, data=2 Data, control=3 Control
agent.ProcessIO.Control: type=1 Type, tty_info=2 TTYInfo, heartbeat=3 Heartbeat
agent.ProcessIO.Control.Heartbeat: interval=1 DurationInfo
agent.ProcessIO.Data: type=1 Type, data=2 B
agent.Response: type=1 Type, get_health=2 GetHealth, get_flags=3 GetFlags, get_version=4 GetVersion, get_metrics=5
  GetMetrics, get_logging_level=6 GetLoggingLevel, list_files=7 ListFiles, read_file=8 ReadFile, get_state=9 GetState,
  get_containers=10 GetContainers, get_frameworks=11 GetFrameworks, get_executors=12 GetExecutors, get_tasks=13
  GetTasks, get_agent=15 GetAgent, wait_nested_container=14 WaitNestedContainer, wait_container=16 WaitContainer
agent.Response.GetAgent: agent_info=1 AgentInfo
agent.Response.GetContainers: containers=1* Container
agent.Response.GetContainers.Container: framework_id=1 FrameworkID, executor_id=2 ExecutorID, executor_name=3 s,
  container_id=4! ContainerID, container_status=5 ContainerStatus, resource_statistics=6 ResourceStatistics
agent.Response.GetExecutors: executors=1* Executor, completed_executors=2* Executor
agent.Response.GetExecutors.Executor: executor_info=1! ExecutorInfo
agent.Response.GetFlags: flags=1* Flag
agent.Response.GetFrameworks: frameworks=1* Framework, completed_frameworks=2* Framework
agent.Response.GetFrameworks.Framework: framework_info=1! FrameworkInfo
agent.Response.GetHealth: healthy=1! b
agent.Response.GetLoggingLevel: level=1! u
agent.Response.GetMetrics: metrics=1* Metric
agent.Response.GetState: get_tasks=1 GetTasks, get_executors=2 GetExecutors, get_frameworks=3 GetFrameworks
agent.Response.GetTasks: pending_tasks=1* Task, queued_tasks=2* Task, launched_tasks=3* Task, terminated_tasks=4*
  Task, completed_tasks=5* Task
agent.Response.GetVersion: version_info=1! VersionInfo
agent.Response.ListFiles: file_infos=1* FileInfo
agent.Response.ReadFile: size=1! U, data=2! B
agent.Response.WaitContainer: exit_status=1 i, state=2 TaskState, reason=3 TaskStatus.Reason, limitation=4
  TaskResourceLimitation, message=5 s
agent.Response.WaitNestedContainer: exit_status=1 i, state=2 TaskState, reason=3 TaskStatus.Reason, limitation=4
  TaskResourceLimitation, message=5 s
master.Call: type=1 Type, get_metrics=2 GetMetrics, drain_agent=21 DrainAgent, teardown=16 Teardown,
  mark_agent_gone=17 MarkAgentGone
master.Call.DrainAgent: agent_id=1! AgentID, mark_gone=3 b
master.Call.GetMetrics: timeout=1 DurationInfo
master.Call.MarkAgentGone: agent_id=1! AgentID
master.Call.Teardown: framework_id=1! FrameworkID
master.Event: type=1 Type, subscribed=2 Subscribed, task_added=3 TaskAdded, task_updated=4 TaskUpdated, agent_added=5
  AgentAdded, agent_removed=6 AgentRemoved, framework_added=7 FrameworkAdded, framework_updated=8 FrameworkUpdated,
  framework_removed=9 FrameworkRemoved
master.Event.AgentAdded: agent=1! Response.GetAgents.Agent
master.Event.AgentRemoved: agent_id=1! AgentID
master.Event.FrameworkAdded: framework=1! Response.GetFrameworks.Framework
master.Event.FrameworkRemoved: framework_info=1! FrameworkInfo
master.Event.FrameworkUpdated: framework=1! Response.GetFrameworks.Framework
master.Event.Subscribed: get_state=1 Response.GetState, heartbeat_interval_seconds=2 d
master.Event.TaskAdded: task=1! Task
master.Event.TaskUpdated: framework_id=1! FrameworkID, status=2! TaskStatus, state=3! TaskState
master.Response: type=1 Type, get_health=2 GetHealth, get_flags=3 GetFlags, get_version=4 GetVersion, get_metrics=5
  GetMetrics, get_state=9 GetState, get_agents=10 GetAgents, get_frameworks=11 GetFrameworks, get_executors=12
  GetExecutors, get_tasks=13 GetTasks, get_roles=14 GetRoles, get_master=16 GetMaster, get_quota=19 GetQuota
master.Response.GetAgents: agents=1* Agent, recovered_agents=2* AgentInfo
master.Response.GetAgents.Agent: agent_info=1! AgentInfo, active=2! b, deactivated=12 b, version=3! s, pid=4 s,
  registered_time=5 TimeInfo, reregistered_time=6 TimeInfo, total_resources=7* Resource, allocated_resources=8*
  Resource, offered_resources=9* Resource, capabilities=10* AgentInfo.Capability, drain_info=13 DrainInfo,
  estimated_drain_start_time=14 TimeInfo
master.Response.GetExecutors: executors=1* Executor, orphan_executors=2* Executor
master.Response.GetExecutors.Executor: executor_info=1! ExecutorInfo, agent_id=2! AgentID
master.Response.GetFlags: flags=1* Flag
master.Response.GetFrameworks: frameworks=1* Framework, completed_frameworks=2* Framework, recovered_frameworks=3*
  FrameworkInfo
master.Response.GetFrameworks.Framework: framework_info=1! FrameworkInfo, active=2! b, connected=3! b, recovered=11!
  b, registered_time=4 TimeInfo, reregistered_time=5 TimeInfo, unregistered_time=6 TimeInfo, offers=7* Offer,
  inverse_offers=8* InverseOffer, allocated_resources=9* Resource, offered_resources=10* Resource
master.Response.GetHealth: healthy=1! b
master.Response.GetMaster: master_info=1 MasterInfo, start_time=2 d, elected_time=3 d
master.Response.GetMetrics: metrics=1* Metric
master.Response.GetQuota:
master.Response.GetRoles: roles=1* Role
master.Response.GetState: get_tasks=1 GetTasks, get_executors=2 GetExecutors, get_frameworks=3 GetFrameworks,
  get_agents=4 GetAgents
master.Response.GetTasks: pending_tasks=1* Task, tasks=2* Task, unreachable_tasks=5* Task, completed_tasks=3* Task,
  orphan_tasks=4* Task
master.Response.GetVersion: version_info=1! VersionInfo
"""

ENUMS = """
ContainerInfo.DockerInfo.Network: HOST=1 BRIDGE=2 NONE=3 USER=4
ContainerInfo.Type: DOCKER=1 MESOS=2
DiscoveryInfo.Visibility: FRAMEWORK=0 CLUSTER=1 EXTERNAL=2
DrainState: UNKNOWN=0 DRAINING=1 DRAINED=2
Environment.Variable.Type: UNKNOWN=0 VALUE=1 SECRET=2
ExecutorInfo.Type: UNKNOWN=0 DEFAULT=1 CUSTOM=2
FrameworkInfo.Capability.Type: UNKNOWN=0 REVOCABLE_RESOURCES=1 TASK_KILLING_STATE=2 GPU_RESOURCES=3 SHARED_RESOURCES=4
  PARTITION_AWARE=5 MULTI_ROLE=6 RESERVATION_REFINEMENT=7 REGION_AWARE=8
HealthCheck.Type: UNKNOWN=0 COMMAND=1 HTTP=2 TCP=3
Image.Type: APPC=1 DOCKER=2
NetworkInfo.Protocol: IPv4=1 IPv6=2
TaskState: TASK_STAGING=6 TASK_STARTING=0 TASK_RUNNING=1 TASK_KILLING=8 TASK_FINISHED=2 TASK_FAILED=3 TASK_KILLED=4
  TASK_ERROR=7 TASK_LOST=5 TASK_DROPPED=9 TASK_UNREACHABLE=10 TASK_GONE=11 TASK_GONE_BY_OPERATOR=12 TASK_UNKNOWN=13
TaskStatus.Reason: REASON_COMMAND_EXECUTOR_FAILED=0 REASON_CONTAINER_LAUNCH_FAILED=21 REASON_CONTAINER_LIMITATION=19
  REASON_CONTAINER_LIMITATION_DISK=20 REASON_CONTAINER_LIMITATION_MEMORY=8 REASON_CONTAINER_PREEMPTED=17
  REASON_CONTAINER_UPDATE_FAILED=22 REASON_MAX_COMPLETION_TIME_REACHED=33 REASON_EXECUTOR_REGISTRATION_TIMEOUT=23
  REASON_EXECUTOR_REREGISTRATION_TIMEOUT=24 REASON_EXECUTOR_TERMINATED=1 REASON_EXECUTOR_UNREGISTERED=2
  REASON_FRAMEWORK_REMOVED=3 REASON_GC_ERROR=4 REASON_INVALID_FRAMEWORKID=5 REASON_INVALID_OFFERS=6
  REASON_IO_SWITCHBOARD_EXITED=27 REASON_MASTER_DISCONNECTED=7 REASON_RECONCILIATION=9 REASON_RESOURCES_UNKNOWN=18
  REASON_AGENT_DISCONNECTED=10 REASON_AGENT_REMOVED=11 REASON_AGENT_REMOVED_BY_OPERATOR=31
  REASON_AGENT_REREGISTERED=32 REASON_AGENT_RESTARTED=12 REASON_AGENT_UNKNOWN=13 REASON_TASK_KILLED_DURING_LAUNCH=30
  REASON_TASK_CHECK_STATUS_UPDATED=28 REASON_TASK_HEALTH_CHECK_STATUS_UPDATED=29 REASON_TASK_GROUP_INVALID=25
  REASON_TASK_GROUP_UNAUTHORIZED=26 REASON_TASK_INVALID=14 REASON_TASK_UNAUTHORIZED=15 REASON_TASK_UNKNOWN=16
TaskStatus.Source: SOURCE_MASTER=0 SOURCE_AGENT=1 SOURCE_EXECUTOR=2
Value.Type: SCALAR=0 RANGES=1 SET=2 TEXT=3
Volume.Mode: RW=1 RO=2
agent.Call.AttachContainerInput.Type: UNKNOWN=0 CONTAINER_ID=1 PROCESS_IO=2
agent.Call.Type: UNKNOWN=0 GET_HEALTH=1 GET_FLAGS=2 GET_VERSION=3 GET_METRICS=4 GET_LOGGING_LEVEL=5
  SET_LOGGING_LEVEL=6 LIST_FILES=7 READ_FILE=8 GET_STATE=9 GET_CONTAINERS=10 GET_FRAMEWORKS=11 GET_EXECUTORS=12
  GET_OPERATIONS=31 GET_TASKS=13 GET_AGENT=20 GET_RESOURCE_PROVIDERS=26 LAUNCH_NESTED_CONTAINER=14
  WAIT_NESTED_CONTAINER=15 KILL_NESTED_CONTAINER=16 REMOVE_NESTED_CONTAINER=21 LAUNCH_NESTED_CONTAINER_SESSION=17
  ATTACH_CONTAINER_INPUT=18 ATTACH_CONTAINER_OUTPUT=19 LAUNCH_CONTAINER=22 WAIT_CONTAINER=23 KILL_CONTAINER=24
  REMOVE_CONTAINER=25 ADD_RESOURCE_PROVIDER_CONFIG=27 UPDATE_RESOURCE_PROVIDER_CONFIG=28
  REMOVE_RESOURCE_PROVIDER_CONFIG=29 MARK_RESOURCE_PROVIDER_GONE=32 PRUNE_IMAGES=30
agent.ProcessIO.Control.Type: UNKNOWN=0 TTY_INFO=1 HEARTBEAT=2
agent.ProcessIO.Data.Type: UNKNOWN=0 STDIN=1 STDOUT=2 STDERR=3
agent.ProcessIO.Type: UNKNOWN=0 DATA=1 CONTROL=2
agent.Response.Type: UNKNOWN=0 GET_HEALTH=1 GET_FLAGS=2 GET_VERSION=3 GET_METRICS=4 GET_LOGGING_LEVEL=5 LIST_FILES=6
  READ_FILE=7 GET_STATE=8 GET_CONTAINERS=9 GET_FRAMEWORKS=10 GET_EXECUTORS=11 GET_OPERATIONS=17 GET_TASKS=12
  GET_AGENT=14 GET_RESOURCE_PROVIDERS=16 WAIT_NESTED_CONTAINER=13 WAIT_CONTAINER=15
master.Call.Type: UNKNOWN=0 GET_HEALTH=1 GET_FLAGS=2 GET_VERSION=3 GET_METRICS=4 GET_LOGGING_LEVEL=5
  SET_LOGGING_LEVEL=6 LIST_FILES=7 READ_FILE=8 GET_STATE=9 GET_AGENTS=10 GET_FRAMEWORKS=11 GET_EXECUTORS=12
  GET_OPERATIONS=33 GET_TASKS=13 GET_ROLES=14 GET_WEIGHTS=15 UPDATE_WEIGHTS=16 GET_MASTER=17 SUBSCRIBE=18
  RESERVE_RESOURCES=19 UNRESERVE_RESOURCES=20 CREATE_VOLUMES=21 DESTROY_VOLUMES=22 GROW_VOLUME=34 SHRINK_VOLUME=35
  GET_MAINTENANCE_STATUS=23 GET_MAINTENANCE_SCHEDULE=24 UPDATE_MAINTENANCE_SCHEDULE=25 START_MAINTENANCE=26
  STOP_MAINTENANCE=27 DRAIN_AGENT=37 DEACTIVATE_AGENT=38 REACTIVATE_AGENT=39 GET_QUOTA=28 UPDATE_QUOTA=36 SET_QUOTA=29
  REMOVE_QUOTA=30 TEARDOWN=31 MARK_AGENT_GONE=32
master.Event.Type: UNKNOWN=0 SUBSCRIBED=1 TASK_ADDED=2 TASK_UPDATED=3 AGENT_ADDED=4 AGENT_REMOVED=5 FRAMEWORK_ADDED=6
  FRAMEWORK_UPDATED=7 FRAMEWORK_REMOVED=8 HEARTBEAT=9
master.Response.Type: UNKNOWN=0 GET_HEALTH=1 GET_FLAGS=2 GET_VERSION=3 GET_METRICS=4 GET_LOGGING_LEVEL=5 LIST_FILES=6
  READ_FILE=7 GET_STATE=8 GET_AGENTS=9 GET_FRAMEWORKS=10 GET_EXECUTORS=11 GET_OPERATIONS=19 GET_TASKS=12 GET_ROLES=13
  GET_WEIGHTS=14 GET_MASTER=15 GET_MAINTENANCE_STATUS=16 GET_MAINTENANCE_SCHEDULE=17 GET_QUOTA=18
"""


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.strip().replace("\n  ", " ").splitlines():
        name, _, body = line.partition(":")
        yield name, body.strip()


SCHEMA = Schema(dict(_entries(MESSAGES)), dict(_entries(ENUMS)))
