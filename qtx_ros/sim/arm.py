"""The Sawyer arm of the Meta-World scenes: joints, servos, home posture."""

from __future__ import annotations

import mujoco
import numpy as np

JOINTS = tuple(f"right_j{i}" for i in range(7))
GRIPPER = "gripper"
NAMES = (*JOINTS, GRIPPER)
FINGERS = ("r_close", "l_close")  # slides; opposite signs, 0: open
FINGER_TRAVEL = 0.07  # [m] both together, from open to closed

STIFFNESS = np.array([1500.0, 1500.0, 1000.0, 1000.0, 400.0, 400.0, 400.0])  # [Nm/rad]
DAMPING = np.array([150.0, 150.0, 100.0, 60.0, 20.0, 20.0, 20.0])  # [Nm s/rad]
TORQUE = np.array([80.0, 80.0, 40.0, 40.0, 20.0, 20.0, 20.0])  # [Nm]
ARMATURE = 0.1  # [kg m²] reflected rotor inertia
SHOULDER_RANGE = (-3.8095, 2.2736)  # [rad] of right_j1; Meta-World cuts it to -0.5, where inverse kinematics gets stuck

MAX_SPEED = 3.0  # [rad/s]
MAX_LEAD = 0.15  # [rad] setpoint ahead of the measured position
LIMIT_MARGIN = 0.02  # [rad] kept from the mechanical stops

POSTURE = np.array([1.889, -0.576, -0.977, 1.642, 0.943, 1.044, 2.293])  # [rad] elbow up, hand pointing down
HAND = "hand"
HAND_DOWN = np.array([1.0, 0.0, 1.0, 0.0]) / np.sqrt(2.0)  # quaternion w x y z


def motorise(spec: mujoco.MjSpec) -> None:
    """Turn a Meta-World scene into a joint-driven one: no mocap weld, gravity compensation, one servo per joint."""
    for equality in list(spec.equalities):
        if equality.type == mujoco.mjtEq.mjEQ_WELD:
            equality.delete()
    _compensate_gravity(spec.body("right_l0"))
    for actuator in spec.actuators:
        actuator.name = actuator.target
    for i, name in enumerate(JOINTS):
        joint = spec.joint(name)
        joint.armature, joint.damping = ARMATURE, 1.0
        if name == "right_j1":
            joint.range = SHOULDER_RANGE
        _add_servo(spec, name, STIFFNESS[i], DAMPING[i], TORQUE[i])
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST


def _compensate_gravity(body) -> None:
    body.gravcomp = 1.0
    for child in body.bodies:
        _compensate_gravity(child)


def _add_servo(spec: mujoco.MjSpec, joint: str, stiffness: float, damping: float, torque: float) -> None:
    """torque = stiffness * (control - position) - damping * velocity, limited."""
    servo = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    gain, bias = np.zeros(10), np.zeros(10)
    gain[0], bias[1], bias[2] = stiffness, -stiffness, -damping
    servo.gainprm, servo.biasprm = gain, bias
    servo.forcelimited, servo.forcerange = 1, [-torque, torque]
    servo.ctrllimited = 0


class Indices:
    """Where this arm stands in a model's arrays, by name and never by order."""

    def __init__(self, model: mujoco.MjModel) -> None:
        joints, fingers = [model.joint(n) for n in JOINTS], [model.joint(n) for n in FINGERS]
        self.position = np.array([j.qposadr[0] for j in joints])
        self.velocity = np.array([j.dofadr[0] for j in joints])
        self.servo = np.array([model.actuator(n).id for n in JOINTS])
        self.finger_position = np.array([j.qposadr[0] for j in fingers])
        self.finger_velocity = np.array([j.dofadr[0] for j in fingers])
        self.finger_motor = np.array([model.actuator(n).id for n in FINGERS])
        self.low, self.high = np.array([j.range for j in joints]).T + np.array([[LIMIT_MARGIN], [-LIMIT_MARGIN]])


def gripper_position(finger_positions: np.ndarray) -> float:
    """From finger slides [m] to [-1, 1]: -1 open, 1 closed."""
    return float(np.clip(2.0 * (finger_positions[0] - finger_positions[1]) / FINGER_TRAVEL - 1.0, -1.0, 1.0))


def gripper_velocity(finger_velocities: np.ndarray) -> float:
    """From finger speeds [m/s] to the gripper's unit per second."""
    return float(2.0 * (finger_velocities[0] - finger_velocities[1]) / FINGER_TRAVEL)
