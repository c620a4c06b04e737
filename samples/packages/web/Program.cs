using Microsoft.Extensions.Diagnostics.HealthChecks;
using ModelPack;
using ModelPack.Runtime;
using WebSample;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddSingleton<NextToken>();
builder.Services.AddHealthChecks().AddCheck<NextToken>("model");
WebApplication app = builder.Build();
app.MapHealthChecks("/health");
app.MapPost("/next", async (long[] tokens, NextToken model, CancellationToken cancellation) =>
    tokens.Length is > 0 and <= 256 ? Results.Ok(await model.AfterAsync(tokens, cancellation)) : Results.BadRequest("1 to 256 tokens"));

// Opened before the first request, not by it.
app.Services.GetRequiredService<NextToken>();
app.Run();

/// <summary>What a language model puts after some tokens. One run per core at a time, each on one thread: more would only wait for each other, and hold memory meanwhile.</summary>
internal sealed class NextToken : IHealthCheck, IDisposable
{
    private readonly TinyLlama _model = TinyLlama.Open(new ModelSessionOptions { Threads = 1 });
    private readonly SemaphoreSlim _turns = new(Environment.ProcessorCount);

    public async Task<Answer> AfterAsync(long[] tokens, CancellationToken cancellation)
    {
        await _turns.WaitAsync(cancellation);
        try
        {
            TinyLlama.Result result = _model.Run(tokens, 1, tokens.Length);
            ReadOnlySpan<float> last = result.Logits[^(int)result.LogitsShape[-1]..];
            int best = 0;
            for (int i = 1; i < last.Length; i++)
            {
                best = last[i] > last[best] ? i : best;
            }

            return new Answer(best, last[best]);
        }
        catch (ModelPackException e) when (e.Code == ErrorCodes.RunFailed)
        {
            throw new BadHttpRequestException(e.Message, e);
        }
        finally
        {
            _turns.Release();
        }
    }

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        float.IsFinite((await AfterAsync([1], cancellationToken)).Logit) ? HealthCheckResult.Healthy() : HealthCheckResult.Unhealthy("the model gives no numbers");

    public void Dispose()
    {
        _model.Dispose();
        _turns.Dispose();
    }
}

internal sealed record Answer(int Token, float Logit);
