"""AXI4-Lite manager of Amaranth test benches."""

from rtl_gen.axi import Response

__all__ = ["read", "read_register", "write", "write_register"]

from mla_hw.registers import register


async def _handshake(ctx, channel):
    """Offer what the channel holds until it is taken."""
    ctx.set(channel.valid, 1)
    await ctx.tick().until(channel.ready)
    ctx.set(channel.valid, 0)


async def _answer(ctx, channel, *members):
    """Take an answer; return its members."""
    ctx.set(channel.ready, 1)
    values = (
        await ctx.tick().sample(*(getattr(channel, name) for name in members)).until(channel.valid)
    )
    ctx.set(channel.ready, 0)
    return values


async def read(ctx, bus, address):
    """Read one word; return data and response."""
    ctx.set(bus.ar.addr, address)
    await _handshake(ctx, bus.ar)
    value, response = await _answer(ctx, bus.r, "data", "resp")
    return value, Response(response)


async def write(ctx, bus, address, value, strobe=0xF):
    """Write one word, address and data at once; return the response."""
    ctx.set(bus.aw.addr, address)
    ctx.set(bus.w.data, value)
    ctx.set(bus.w.strb, strobe)
    ctx.set(bus.aw.valid, 1)
    ctx.set(bus.w.valid, 1)
    waiting = [bus.aw, bus.w]
    while waiting:
        *_, aw_ready, w_ready = await ctx.tick().sample(bus.aw.ready, bus.w.ready)
        for channel, ready in ((bus.aw, aw_ready), (bus.w, w_ready)):
            if channel in waiting and ready:
                ctx.set(channel.valid, 0)
                waiting.remove(channel)
    (response,) = await _answer(ctx, bus.b, "resp")
    return Response(response)


async def read_register(ctx, bus, name):
    """Read a register of the map, all its words; the response must be OKAY."""
    item, value = register(name), 0
    for i in range(item.words):
        word, response = await read(ctx, bus, item.address + 4 * i)
        assert response == Response.OKAY, name
        value |= word << 32 * i
    return value


async def write_register(ctx, bus, name, value):
    """Write a register of the map; the response must be OKAY."""
    assert await write(ctx, bus, register(name).address, value) == Response.OKAY, name
