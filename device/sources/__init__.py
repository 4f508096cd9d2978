"""Where samples come from.

audio.py                     files and arrays, and what every source is
microphone.py                a microphone as the model hears it
capture.py, conditioning.py  what a device delivers, and one channel of it at the model's rate
portaudio.py, devices.py     which devices there are, and what each can
settings.py                  which source is wanted: the table [source], options of `emopi listen`
"""
