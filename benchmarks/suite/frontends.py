"""The MFCCs of other libraries, with the settings of a `FrontendSpec`, as far as they have them.

Each function imports its library and gives a function from samples, (n,) float32 with full scale
at ±1, to (frames, n_mfcc). What a library cannot be asked to do alike is in its docstring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from emopi.device.frontend import INT16_SCALE, Floats, FrontendSpec

Mfcc = Callable[[Floats], Any]


def python_speech_features(spec: FrontendSpec) -> Mfcc:
    """The same features; one frame more at most, since it pads the last one with zeros."""
    from python_speech_features import mfcc

    def run(samples: Floats) -> Any:
        return mfcc(
            samples, samplerate=spec.sample_rate_hz,
            winlen=spec.frame_samples / spec.sample_rate_hz,
            winstep=spec.hop_samples / spec.sample_rate_hz, numcep=spec.n_mfcc, nfilt=spec.n_mels,
            nfft=spec.n_fft, lowfreq=spec.low_hz, highfreq=spec.high_hz, preemph=spec.preemphasis,
            ceplifter=spec.lifter, appendEnergy=False, winfunc=np.hanning,
        )  # fmt: skip

    return run


def librosa(spec: FrontendSpec) -> Mfcc:
    """Its mel triangles are not rounded to FFT bins; decibels are taken back to logarithms.

    Its own lifter counts coefficients from 1, so ours is applied to what it gives.
    """
    import librosa as lib

    # librosa centres a window that is shorter than the FFT
    aside = (spec.n_fft - spec.frame_samples) // 2
    window = np.hanning(spec.frame_samples)
    n = np.arange(spec.n_mfcc)
    scale = np.log(10) / 10 * (1 + spec.lifter / 2 * np.sin(np.pi * n / spec.lifter))
    scale = scale.astype(np.float32)

    def run(samples: Floats) -> Any:
        emphasized = lib.effects.preemphasis(samples, coef=spec.preemphasis, zi=[0.0])
        mels = lib.feature.melspectrogram(
            y=np.pad(emphasized, aside), sr=spec.sample_rate_hz, n_fft=spec.n_fft,
            hop_length=spec.hop_samples, win_length=spec.frame_samples, window=window, center=False,
            n_mels=spec.n_mels, fmin=spec.low_hz, fmax=spec.high_hz, htk=True, norm=None,
        )  # fmt: skip
        decibels = lib.power_to_db(mels / spec.n_fft, amin=2.2e-16, top_db=None)
        return lib.feature.mfcc(S=decibels, n_mfcc=spec.n_mfcc, norm="ortho").T * scale

    return run


def kaldi_native_fbank(spec: FrontendSpec) -> Mfcc:
    """Its mel triangles are linear in mel, between FFT bins; it emphasizes frame by frame.

    It expects samples as large as int16 has them, and its spectrum is not divided by the length of
    the FFT; c0 is corrected for both. They have to be given as a list, which is in the time.
    """
    import kaldi_native_fbank as knf

    options = knf.MfccOptions()
    options.frame_opts.samp_freq = spec.sample_rate_hz
    options.frame_opts.frame_length_ms = 1000 * spec.frame_samples / spec.sample_rate_hz
    options.frame_opts.frame_shift_ms = 1000 * spec.hop_samples / spec.sample_rate_hz
    options.frame_opts.dither = 0.0
    options.frame_opts.preemph_coeff = spec.preemphasis
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.window_type = "hanning"
    options.frame_opts.round_to_power_of_two = True
    options.frame_opts.snip_edges = True
    options.mel_opts.num_bins = spec.n_mels
    options.mel_opts.low_freq = spec.low_hz
    options.mel_opts.high_freq = spec.high_hz
    options.num_ceps = spec.n_mfcc
    options.use_energy = False
    options.energy_floor = 0.0
    options.cepstral_lifter = spec.lifter
    scale = np.float32(INT16_SCALE)
    offset = np.float32(np.sqrt(spec.n_mels) * np.log(spec.n_fft * INT16_SCALE**2))

    def run(samples: Floats) -> Any:
        extractor = knf.OnlineMfcc(options)
        extractor.accept_waveform(spec.sample_rate_hz, (samples * scale).tolist())
        extractor.input_finished()
        ready = extractor.num_frames_ready
        mfccs = np.stack([extractor.get_frame(number) for number in range(ready)])
        mfccs[:, 0] -= offset
        return mfccs

    return run


OTHERS: dict[str, Callable[[FrontendSpec], Mfcc]] = {
    "python_speech_features": python_speech_features,
    "librosa": librosa,
    "kaldi-native-fbank": kaldi_native_fbank,
}
