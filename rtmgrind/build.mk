# SPDX-License-Identifier: GPL-2.0-or-later
#
# rtmgrind: a Valgrind tool, linked against the distribution's valgrind package, and its wrapper.

PACKAGES += valgrind
ALL += $(OUT)/bin/rtmgrind

VG_LIB = $(shell dirname "$$(dpkg -L valgrind 2>/dev/null | grep libcoregrind-amd64-linux.a)")
RTM_SRC = $(wildcard rtmgrind/rtm_*.c)
RTM_OBJ = $(RTM_SRC:%.c=$(OUT)/obj/%.o)
RTM_TOOL = $(OUT)/lib/rtmgrind/rtmgrind-amd64-linux
RTM_DEFS = -DVGA_amd64=1 -DVGO_linux=1 -DVGP_amd64_linux=1 -DVGPV_amd64_linux_vanilla=1
# The core runs without a C library: nothing the compiler would call from one.
RTM_CFLAGS = -std=gnu11 -O2 -g -fno-stack-protector -fno-builtin -fno-pie \
  -fno-strict-aliasing -fcf-protection=none -Wall -Wextra -Wundef -Wshadow -Wstrict-prototypes \
  -Wmissing-prototypes
RTM_WRAP = -Wl,--wrap=vgPlain_sigframe_create -Wl,--wrap=vgPlain_sigframe_destroy \
  -Wl,--wrap=vgPlain_nuke_all_threads_except -Wl,--wrap=vgPlain_print_preamble \
  -Wl,--wrap=vgPlain_synth_fault_perms -Wl,--wrap=vgPlain_synth_fault_mapping \
  -Wl,--wrap=vgPlain_disp_run_translations -Wl,--wrap=vgPlain_di_notify_mmap \
  -Wl,--wrap=vgPlain_am_find_nsegment -Wl,--wrap=vgPlain_use_CF_info \
  -Wl,--wrap=vgPlain_reap_threads -Wl,--wrap=vgPlain_disp_cp_xassisted

RTM_COMPILE = $(CC) $(RTM_CFLAGS) $(RTM_DEFS) -isystem /usr/include/valgrind
# Linked in the place of a program's start-up files and C library.
RTM_LINK = $(CC) -static -nodefaultlibs -nostartfiles -u _start -no-pie \
  -Wl,-Ttext-segment=0x58000000 -Wl,--build-id=none -Wl,-z,noexecstack $(RTM_WRAP)
RTM_LIBS = $(VG_LIB)/libcoregrind-amd64-linux.a $(VG_LIB)/libvex-amd64-linux.a -lgcc \
  $(VG_LIB)/libgcc-sup-amd64-linux.a

$(OUT)/obj/rtmgrind/rtm_%.o: rtmgrind/rtm_%.c
	@mkdir -p $(@D)
	$(Q)$(RTM_COMPILE) -Irtmgrind -MMD -MP -c -o $@ $<

$(RTM_TOOL): $(RTM_OBJ)
	@mkdir -p $(@D)
	$(Q)$(RTM_LINK) -o $@ $(RTM_OBJ) $(RTM_LIBS)

$(OUT)/bin/rtmgrind: rtmgrind/rtmgrind.sh $(RTM_TOOL)
	@mkdir -p $(@D)
	$(Q)install -m 755 $< $@

-include $(RTM_OBJ:.o=.d)
