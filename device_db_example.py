"""A device database for ARTIQ: the DDS of one lab PC, as a controller and as a local device.

It works as it is with ``python server.py`` on the same computer::

    artiq_run --device-db device_db_example.py examples/experiments/frequency_scan.py

For a lab PC replace 127.0.0.1 by its address, in both entries, and say who may connect to it: see
docs/artiq.md, "Several lab PCs".
"""

device_db = {
    # What artiq_ctlmgr starts and watches, on the computer whose address towards the master this
    # host is; on the master's own that takes "artiq_ctlmgr -s 127.0.0.1". It fills in {port} from
    # this entry, and that address as {bind}. For your instruments let it start the server.py that
    # you have edited: it has the same options.
    "dds_controller": {
        "type": "controller",
        "host": "127.0.0.1",
        "port": 65432,
        "target_name": "dds",
        "command": "aqctl_artiq_link -p {port} --bind {bind} --simulation",
    },
    # What experiments use: self.setattr_device("dds"). It speaks to the same port.
    "dds": {
        "type": "local",
        "module": "artiq_link.artiq_device",
        "class": "DDSLink",
        "arguments": {"host": "127.0.0.1", "port": 65432, "timeout": 5.0},
    },
    # A second name for the same device.
    "cooling_dds": "dds",
    #
    # Kernels need a core device. With host None they are compiled for it and not run, which is
    # enough to try examples/experiments/kernel_rpc.py; with the address of a Kasli they run.
    #
    # "core": {
    #     "type": "local",
    #     "module": "artiq.coredevice.core",
    #     "class": "Core",
    #     "arguments": {"host": None, "ref_period": 1e-9, "target": "rv32g"},
    # },
    #
    # A real core device adds entries for its logs, its cache, and each of its channels: all those
    # that artiq_ddb_template writes for it.
    #
    # "core_log": {
    #     "type": "controller",
    #     "host": "::1",
    #     "port": 1068,
    #     "command": "aqctl_corelog -p {port} --bind {bind} 192.168.1.75",
    # },
    # "core_cache": {
    #     "type": "local",
    #     "module": "artiq.coredevice.cache",
    #     "class": "CoreCache",
    # },
    # "ttl0": {
    #     "type": "local",
    #     "module": "artiq.coredevice.ttl",
    #     "class": "TTLInOut",
    #     "arguments": {"channel": 0},
    # },
}
