/* A sound card without hardware, as an ALSA plugin: everybody who speaks ALSA's API can open it.
 *
 *     pcm.mic { type benchcard  sound "speech.raw"  log "mic.log"  marker_ms 0 }
 *
 * Its clock is CLOCK_MONOTONIC at 48 kHz. A reader or writer sleeps in poll() until a period is over, as with a card in
 * the kernel, and there is no server behind it: what the processor does is done by who opened it. 16 bit, one or two
 * channels. The microphone hears `sound` (16 bit mono, over and over; silence without one), or with `marker_ms` 10 ms
 * of 1 kHz that often. With `log`, the card notes in monotonic seconds
 *
 *     in TAKEN          when the first sample of a marker was taken, at the microphone
 *     out GIVEN PLAYED  when the first loud sample came, at the speaker: given to the card (plus its place in what was
 *                       given), and when it will have left it
 *
 * With `record` the speaker keeps what it is given, each time with a double (when) and an unsigned long (how many
 * frames) before it.
 */
#include <alsa/asoundlib.h>
#include <alsa/pcm_external.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RATE 48000
#define MARKER_FRAMES (RATE / 100)
#define LOUD 4000                   /* of 20000: a codec's foreshadowing of the tone is below */
#define QUIET_FRAMES (3 * RATE / 10) /* after a marker its tail is not another one */

typedef struct {
    snd_pcm_ioplug_t io;
    const short *sound;
    size_t sound_frames;
    long marker_frames;
    FILE *log, *record;
    long long start_ns;      /* when frame 0 was taken or played */
    long long passed;        /* frames through transfer since then */
    long long loud_at;       /* the last loud sample seen */
    snd_pcm_uframes_t avail_min; /* poll() sleeps until so many frames are there, or fit */
    short tone[MARKER_FRAMES];
} card_t;

static long long now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long frames_since_start(card_t *card) { return (now_ns() - card->start_ns) * RATE / 1000000000LL; }

static int card_start(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    long long period_ns = io->period_size * 1000000000LL / RATE;
    struct itimerspec due = {{0, period_ns}, {0, 0}};
    card->start_ns = now_ns();
    long long first_ns = card->start_ns + period_ns + 20000; /* just after the period's last frame */
    due.it_value.tv_sec = first_ns / 1000000000LL;
    due.it_value.tv_nsec = first_ns % 1000000000LL;
    return timerfd_settime(io->poll_fd, TFD_TIMER_ABSTIME, &due, NULL);
}

static int card_stop(snd_pcm_ioplug_t *io) {
    struct itimerspec never = {{0, 0}, {0, 0}};
    return timerfd_settime(io->poll_fd, 0, &never, NULL);
}

static int card_prepare(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    card->passed = 0;
    card->loud_at = -QUIET_FRAMES;
    return 0;
}

static int card_sw_params(snd_pcm_ioplug_t *io, snd_pcm_sw_params_t *params) {
    return snd_pcm_sw_params_get_avail_min(params, &((card_t *)io->private_data)->avail_min);
}

static snd_pcm_sframes_t card_pointer(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    if (io->state != SND_PCM_STATE_RUNNING && io->state != SND_PCM_STATE_DRAINING) return 0;
    long long at = frames_since_start(card);
    /* Whole periods only, as cards do that move by DMA blocks: libasound, unlike the kernel, would take the few frames
     * of the next period at once and then sleep until avail_min has come in addition. */
    if (io->stream == SND_PCM_STREAM_CAPTURE) at -= at % io->period_size;
    int late = io->stream == SND_PCM_STREAM_PLAYBACK ? at > card->passed : at >= card->passed + (long long)io->buffer_size;
    return late ? -EPIPE : (snd_pcm_sframes_t)(at % io->buffer_size);
}

static int card_poll_revents(snd_pcm_ioplug_t *io, struct pollfd *pfd, unsigned count, unsigned short *revents) {
    card_t *card = io->private_data;
    unsigned long long ticks;
    snd_pcm_sframes_t avail;
    (void)count;
    *revents = 0;
    if (!(pfd[0].revents & POLLIN)) return 0;
    if (read(io->poll_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN) return -errno;
    avail = snd_pcm_avail_update(io->pcm);
    if (avail < 0) *revents = POLLERR;
    else if ((snd_pcm_uframes_t)avail >= card->avail_min) *revents = io->stream == SND_PCM_STREAM_PLAYBACK ? POLLOUT : POLLIN;
    return 0;
}

static short heard(card_t *card, long long at) {
    if (card->marker_frames) {
        long long phase = at % card->marker_frames - card->marker_frames / 2;
        return phase >= 0 && phase < MARKER_FRAMES ? card->tone[phase] : 0;
    }
    return card->sound ? card->sound[at % card->sound_frames] : 0;
}

static void take(card_t *card, char *to, unsigned step, unsigned channels, snd_pcm_uframes_t size) {
    if (!card->marker_frames && card->sound && channels == 1 && step == 2
        && card->passed % card->sound_frames + size <= card->sound_frames) {
        memcpy(to, card->sound + card->passed % card->sound_frames, size * 2);
        return;
    }
    for (snd_pcm_uframes_t i = 0; i < size; i++) {
        long long at = card->passed + i;
        short value = heard(card, at);
        for (unsigned c = 0; c < channels; c++) ((short *)(to + i * step))[c] = value;
        if (card->log && card->marker_frames && at % card->marker_frames == card->marker_frames / 2)
            fprintf(card->log, "in %.6f\n", card->start_ns * 1e-9 + (double)at / RATE);
    }
}

static void give(card_t *card, const char *from, unsigned step, snd_pcm_uframes_t size) {
    if (card->record) {
        double now_s = now_ns() * 1e-9;
        fwrite(&now_s, sizeof now_s, 1, card->record);
        fwrite(&size, sizeof size, 1, card->record);
        for (snd_pcm_uframes_t i = 0; i < size; i++) fwrite(from + i * step, 2, 1, card->record);
    }
    if (!card->log) return;
    for (snd_pcm_uframes_t i = 0; i < size; i++) {
        long long at = card->passed + i;
        if (abs(*(const short *)(from + i * step)) < LOUD) continue;
        if (at - card->loud_at > QUIET_FRAMES) {
            double now_s = now_ns() * 1e-9;
            fprintf(card->log, "out %.6f %.6f\n", now_s + (double)i / RATE,
                    card->start_ns ? card->start_ns * 1e-9 + (double)at / RATE : now_s);
        }
        card->loud_at = at;
    }
}

static snd_pcm_sframes_t card_transfer(snd_pcm_ioplug_t *io, const snd_pcm_channel_area_t *areas,
                                       snd_pcm_uframes_t offset, snd_pcm_uframes_t size) {
    card_t *card = io->private_data;
    unsigned step = areas->step / 8;
    char *at = (char *)areas->addr + areas->first / 8 + offset * step;
    if (io->stream == SND_PCM_STREAM_CAPTURE) take(card, at, step, io->channels, size);
    else give(card, at, step, size);
    card->passed += size;
    return size;
}

static int card_delay(snd_pcm_ioplug_t *io, snd_pcm_sframes_t *delay) {
    card_t *card = io->private_data;
    long long at = io->state == SND_PCM_STATE_RUNNING ? frames_since_start(card) : 0;
    *delay = io->stream == SND_PCM_STREAM_PLAYBACK ? card->passed - at : at - card->passed;
    return 0;
}

static int card_close(snd_pcm_ioplug_t *io) {
    card_t *card = io->private_data;
    if (card->log) fclose(card->log);
    if (card->record) fclose(card->record);
    if (card->sound) munmap((void *)card->sound, card->sound_frames * 2);
    close(io->poll_fd);
    free(card);
    return 0;
}

static const snd_pcm_ioplug_callback_t CALLBACKS = {
    .sw_params = card_sw_params, .start = card_start, .stop = card_stop, .pointer = card_pointer, .transfer = card_transfer,
    .prepare = card_prepare, .poll_revents = card_poll_revents, .delay = card_delay, .close = card_close,
};

static int load_sound(card_t *card, const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) < 0) return -errno;
    card->sound_frames = about.st_size / 2;
    card->sound = mmap(NULL, card->sound_frames * 2, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return card->sound == MAP_FAILED ? -errno : 0;
}

static int constrain(snd_pcm_ioplug_t *io) {
    static const unsigned access[] = {SND_PCM_ACCESS_RW_INTERLEAVED}, formats[] = {SND_PCM_FORMAT_S16_LE};
    int failed = snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_ACCESS, 1, access);
    failed |= snd_pcm_ioplug_set_param_list(io, SND_PCM_IOPLUG_HW_FORMAT, 1, formats);
    failed |= snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_CHANNELS, 1, 2);
    failed |= snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_RATE, RATE, RATE);
    failed |= snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIOD_BYTES, 64, 1 << 16);
    failed |= snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_BUFFER_BYTES, 256, 1 << 18);
    failed |= snd_pcm_ioplug_set_param_minmax(io, SND_PCM_IOPLUG_HW_PERIODS, 2, 64);
    return failed;
}

SND_PCM_PLUGIN_DEFINE_FUNC(benchcard) {
    const char *sound = NULL, *log = NULL, *record = NULL;
    snd_config_iterator_t i, next;
    long marker_ms = 0;
    (void)root;
    snd_config_for_each(i, next, conf) {
        snd_config_t *entry = snd_config_iterator_entry(i);
        const char *id;
        if (snd_config_get_id(entry, &id) < 0) continue;
        if (!strcmp(id, "sound")) snd_config_get_string(entry, &sound);
        else if (!strcmp(id, "log")) snd_config_get_string(entry, &log);
        else if (!strcmp(id, "record")) snd_config_get_string(entry, &record);
        else if (!strcmp(id, "marker_ms")) snd_config_get_integer(entry, &marker_ms);
    }
    card_t *card = calloc(1, sizeof *card);
    if (!card) return -ENOMEM;
    card->marker_frames = marker_ms * (RATE / 1000);
    for (int n = 0; n < MARKER_FRAMES; n++) card->tone[n] = (short)(20000 * sin(2 * M_PI * 1000 * n / RATE));
    int error = sound ? load_sound(card, sound) : 0;
    if (!error && log && !(card->log = fopen(log, "a"))) error = -errno;
    if (!error && record && !(card->record = fopen(record, "a"))) error = -errno;
    if (card->log) setlinebuf(card->log);
    card->io.version = SND_PCM_IOPLUG_VERSION;
    card->io.name = "benchcard";
    card->io.callback = &CALLBACKS;
    card->io.private_data = card;
    card->io.poll_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    card->io.poll_events = POLLIN;
    if (!error) error = snd_pcm_ioplug_create(&card->io, name, stream, mode);
    if (error) {
        free(card);
        return error;
    }
    error = constrain(&card->io);
    if (error) {
        snd_pcm_ioplug_delete(&card->io);
        return error;
    }
    *pcmp = card->io.pcm;
    return 0;
}

SND_PCM_PLUGIN_SYMBOL(benchcard);
